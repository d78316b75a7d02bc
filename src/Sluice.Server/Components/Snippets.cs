using System.Text.Encodings.Web;
using System.Text.Json;

namespace Sluice.Server.Components;

/// <summary>Programs that send one request, ready to paste. The endpoint is ours; the sample's texts are escaped for each language.</summary>
static class Snippets
{
    static readonly JsonSerializerOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static IReadOnlyList<string> Languages { get; } = ["curl", "Python", "C#", "JavaScript"];

    /// <param name="body">A request's JSON, several lines.</param>
    public static string Of(string language, string endpoint, string body) => language switch
    {
        "Python" => $$""""
            import json, ssl, urllib.request

            body = json.loads(r"""
            {{body}}
            """)
            request = urllib.request.Request("{{endpoint}}", json.dumps(body).encode(), {
                "X-API-Key": "YOUR_KEY", "Content-Type": "application/json"})
            context = ssl.create_default_context(cafile="ca.crt")
            with urllib.request.urlopen(request, context=context) as answer:
                print(json.load(answer))
            """",
        "C#" => $$""""""
            using System.Net.Http.Headers;

            using var http = new HttpClient(); // the machine must trust the server's ca.crt
            http.DefaultRequestHeaders.Add("X-API-Key", "YOUR_KEY");
            var body = """""
            {{body}}
            """"";
            using var content = new StringContent(body, new MediaTypeHeaderValue("application/json"));
            using var answer = await http.PostAsync("{{endpoint}}", content);
            Console.WriteLine(await answer.Content.ReadAsStringAsync());
            """""",
        "JavaScript" => $$"""
            // NODE_EXTRA_CA_CERTS=ca.crt node send.mjs
            const answer = await fetch("{{endpoint}}", {
              method: "POST",
              headers: { "X-API-Key": "YOUR_KEY", "Content-Type": "application/json" },
              body: JSON.stringify({{body}}),
            });
            console.log(await answer.json());
            """,
        _ => $$"""
            curl --cacert ca.crt -X POST {{endpoint}} \
              -H 'X-API-Key: YOUR_KEY' \
              -H 'Content-Type: application/json' \
              -d '{{OneLine(body).Replace("'", @"'\''", StringComparison.Ordinal)}}'
            """,
    };

    static string OneLine(string json) => JsonSerializer.Serialize(JsonElement.Parse(json), Compact);
}
