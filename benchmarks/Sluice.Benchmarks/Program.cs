// Runs the benchmarks: dotnet run -c Release --project benchmarks/Sluice.Benchmarks -- --filter *Decode*
using BenchmarkDotNet.Running;

BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
