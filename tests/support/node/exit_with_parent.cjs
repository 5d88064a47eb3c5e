// Preloaded into the emulator: its standard input is a pipe from the process that started it, and ends with it,
// even when that process was killed. Reading it keeps nobody alive who was told to stop.
process.stdin.on("close", () => process.exit(0));
process.stdin.resume();
process.stdin.unref();
