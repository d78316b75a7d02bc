// Exit codes, of the server and of check, repair, rebuild and restore:
//   0  stopped on SIGTERM or SIGINT after draining, or --help was asked for; nothing is damaged, or done
//   2  an option is wrong; every wrong option is named on stderr
//   3  another process holds the data directory; its process id is named on stderr
//   4  something in the data directory is damaged or does not add up; the file is named
//   5  an address could not be bound
//  70  an unexpected fault; see the log
//  74  a write or fsync of the log failed; start again to recover from disk
return await Sluice.Server.ServerApp.RunAsync(args);
