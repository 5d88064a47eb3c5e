// Preloaded into the emulator: a server that is told to close waits for its connections, which its clients keep open for
// ever. This one cuts them a second later, as a service that is restarted does, so that the emulator can write its disk
// and end.
const { Server } = require("http");
const close = Server.prototype.close;
Server.prototype.close = function (...given) {
  const closed = close.apply(this, given);
  setTimeout(() => this.closeAllConnections(), 1000);
  return closed;
};
