# Sourced by run: a server on a throw-away directory, and the demo client that streams into it until Ctrl+C.
data=$(mktemp -d)
export SLUICE_ADMIN_EMAIL=demo@localhost SLUICE_ADMIN_PASSWORD
SLUICE_ADMIN_PASSWORD="Demo-$(head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n')"
dotnet "$root/src/Sluice.Server/bin/Release/net10.0/Sluice.Server.dll" --data "$data" --https-port "${SLUICE_DEMO_HTTPS_PORT:-7443}" --http-port "${SLUICE_DEMO_HTTP_PORT:-7480}" >"$data/server.out" 2>&1 &
server=$!
stop() {
  kill -TERM "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  rm -rf "$data"
}
trap stop EXIT
dotnet "$root/src/Sluice.Cli/bin/Release/net10.0/sluice.dll" demo \
  --url "https://localhost:${SLUICE_DEMO_HTTPS_PORT:-7443}" --ca "$data/tls/ca.crt" --samples "$root/demo" --server-log "$data/server.out" "$@"
