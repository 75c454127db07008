// One command at a time changes the local cloud of a machine.
import { createConnection, createServer, type Server } from "node:net";
import { say } from "./progress.ts";

// A name in Linux' abstract namespace: the kernel frees it with the process, so a crash leaves no lock behind.
const name = "\0ecr-helper-local-cloud";

/** Runs `work` while no other process does the same; waits for one that does. */
export async function exclusively<T>(work: () => Promise<T>): Promise<T> {
  let server = await lock();
  if (server === undefined) say("Waiting for another command on the local cloud to end.");
  while (server === undefined) {
    await holderEnds();
    server = await lock();
  }
  try {
    return await work();
  } finally {
    server.close();
  }
}

async function lock(): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((connection) => connection.unref());
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(undefined) : reject(error),
    );
    server.listen(name, () => resolve(server.unref()));
  });
}

/** Resolves when the process that holds the lock lets go of it: its end of the connection closes. */
async function holderEnds(): Promise<void> {
  return new Promise((resolve) => {
    createConnection(name)
      .on("close", () => resolve())
      .on("error", () => undefined)
      .resume();
  });
}
