using System.Formats.Asn1;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;

namespace Sluice.Server.Tls;

/// <summary>
/// The names that certificates of the local authority may be for: whoever gets hold of the authority's key can pose as these names
/// and no others, even where the authority is trusted.
/// </summary>
/// <remarks>RFC 5280, section 4.2.1.10. A DNS name permits itself and all names below it.</remarks>
sealed class NameConstraints
{
    const string Oid = "2.5.29.30";

    // GeneralName's tags, RFC 5280 section 4.2.1.6
    static readonly Asn1Tag DnsName = new(TagClass.ContextSpecific, 2);
    static readonly Asn1Tag IpAddress = new(TagClass.ContextSpecific, 7);
    static readonly Asn1Tag PermittedSubtrees = new(TagClass.ContextSpecific, 0, isConstructed: true);

    readonly IReadOnlyList<string> _dnsNames;
    readonly IReadOnlyList<IPNetwork> _networks;

    NameConstraints(IReadOnlyList<string> dnsNames, IReadOnlyList<IPNetwork> networks)
    {
        _dnsNames = dnsNames;
        _networks = networks;
    }

    /// <summary>Permits the loopback networks, and each of the host names and addresses.</summary>
    public static NameConstraints For(IEnumerable<string> names)
    {
        var dnsNames = new List<string>();
        var networks = new List<IPNetwork> { IPNetwork.Parse("127.0.0.0/8"), IPNetwork.Parse("::1/128") };

        foreach (var name in names)
        {
            if (IPAddress.TryParse(name, out var address))
                networks.Add(new IPNetwork(address, address.AddressFamily == AddressFamily.InterNetwork ? 32 : 128));
            else
                dnsNames.Add(name);
        }

        return new NameConstraints(dnsNames, networks);
    }

    /// <summary>Reads the constraints of an authority made here.</summary>
    /// <returns><c>null</c> when the certificate has none.</returns>
    public static NameConstraints? Read(X509Certificate2 authority)
    {
        if (authority.Extensions.FirstOrDefault(extension => extension.Oid?.Value == Oid) is not { } extension)
            return null;

        var dnsNames = new List<string>();
        var networks = new List<IPNetwork>();
        var subtrees = new AsnReader(extension.RawData, AsnEncodingRules.DER).ReadSequence().ReadSequence(PermittedSubtrees);

        while (subtrees.HasData)
        {
            var subtree = subtrees.ReadSequence();
            if (subtree.PeekTag() == DnsName)
                dnsNames.Add(subtree.ReadCharacterString(UniversalTagNumber.IA5String, DnsName));
            else
                networks.Add(ReadNetwork(subtree.ReadOctetString(IpAddress)));
        }

        return new NameConstraints(dnsNames, networks);
    }

    public bool Permits(string name) => IPAddress.TryParse(name, out var address)
        ? _networks.Any(network => network.Contains(address))
        : _dnsNames.Any(permitted => name.Equals(permitted, StringComparison.OrdinalIgnoreCase) || name.EndsWith("." + permitted, StringComparison.OrdinalIgnoreCase));

    /// <summary>The extension, critical: a client that does not understand it must refuse.</summary>
    public X509Extension ToExtension()
    {
        var writer = new AsnWriter(AsnEncodingRules.DER);

        using (writer.PushSequence())
        using (writer.PushSequence(PermittedSubtrees))
        {
            foreach (var name in _dnsNames)
            {
                using (writer.PushSequence())
                    writer.WriteCharacterString(UniversalTagNumber.IA5String, name, DnsName);
            }

            foreach (var network in _networks)
            {
                using (writer.PushSequence())
                    writer.WriteOctetString(AddressAndMask(network), IpAddress);
            }
        }

        return new X509Extension(Oid, writer.Encode(), critical: true);
    }

    static byte[] AddressAndMask(IPNetwork network)
    {
        var address = network.BaseAddress.GetAddressBytes();
        var mask = new byte[address.Length];
        for (var bit = 0; bit < network.PrefixLength; bit++)
            mask[bit / 8] |= (byte)(0x80 >> (bit % 8));

        return [.. address, .. mask];
    }

    static IPNetwork ReadNetwork(byte[] addressAndMask)
    {
        var half = addressAndMask.Length / 2;
        var prefix = addressAndMask[half..].Sum(part => int.PopCount(part));
        return new IPNetwork(new IPAddress(addressAndMask[..half]), prefix);
    }
}
