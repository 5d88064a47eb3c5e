// Preloaded into the emulator: its standard input is a pipe from the process that started it, and ends with it,
// even when that process was killed.
process.stdin.on("close", () => process.exit(0));
process.stdin.resume();
