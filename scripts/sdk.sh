# Sourced by run, test and bench: makes `dotnet` be a .NET 10 SDK, fetching one into .dotnet when the machine has none.
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1

has_sdk() { command -v "$1" >/dev/null 2>&1 && "$1" --list-sdks 2>/dev/null | grep -q '^10\.'; }

if ! has_sdk dotnet; then
  if ! has_sdk "$root/.dotnet/dotnet"; then
    echo "No .NET 10 SDK found: fetching it with Microsoft's install script into $root/.dotnet (no root needed)." >&2
    mkdir -p "$root/.dotnet"
    curl -fsSL https://dot.net/v1/dotnet-install.sh -o "$root/.dotnet/dotnet-install.sh"
    bash "$root/.dotnet/dotnet-install.sh" --channel 10.0 --install-dir "$root/.dotnet"
  fi
  export DOTNET_ROOT="$root/.dotnet" PATH="$root/.dotnet:$PATH"
fi
