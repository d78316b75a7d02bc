# Sourced by test: compiles the server and the command line that the tests start to machine code, in place. They start them some hundreds of times, and more than half of a start is
# just-in-time compilation. Without the compiler (it is fetched with the packages, on x64 Linux) the tests run all the same, only longer.
precompile() { # precompile DIR, where Sluice.Server.dll is
  local out=$1/precompiled packages compiler shared
  packages=$(dotnet nuget locals global-packages --list | sed 's/^global-packages: *//')
  compiler=$(find "$packages"/microsoft.netcore.app.crossgen2.linux-x64/10.* -name crossgen2 -type f 2>/dev/null | sort -V | tail -1)
  [ -n "$compiler" ] || return 0
  shared=$(dotnet --list-runtimes | sed -n 's/^Microsoft\.NETCore\.App \(10\.[0-9.]*\) \[\(.*\)\]$/\2\/\1/p' | tail -1)
  rm -rf "$out"
  mkdir "$out"
  # one that is compiled already, or cannot be, stays as it is
  { echo sluice.dll; grep -oh '"[^" ]*\.dll"' "$1/Sluice.Server.deps.json" "$1/sluice.deps.json" | sed 's/.*\///; s/"//g' | grep -v '^Microsoft\.\(Build\|CodeAnalysis\)\|\.resources\.'; } | sort -u | (cd "$1" && xargs ls -d 2>/dev/null) |
    xargs -P "$(nproc)" -I{} sh -c '"$@" || true' sh "$compiler" "$1/{}" -o "$out/{}" -r "$1/*.dll" -r "$shared/*.dll" -r "${shared/NETCore.App/AspNetCore.App}/*.dll" \
      --targetos linux --targetarch x64 -O >"$out/log" 2>&1
  find "$out" -name '*.dll' -exec mv {} "$1" \;
}
