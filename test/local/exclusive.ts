// Who uses the local cloud of this machine: one command at a time changes it, and nobody stops it under a test run.
import { readFileSync } from "node:fs";
import { createConnection, createServer, type Server } from "node:net";
import { say } from "./progress.ts";

// Names in Linux' abstract namespace: the kernel frees them with the process, so a crash leaves no lock behind.
const change = "ecr-helper-local-cloud";
const use = "ecr-helper-local-cloud-user";

/** Runs `work` while no other process does the same; waits for one that does. */
export async function withCloudLock<T>(work: () => Promise<T>): Promise<T> {
  let server = await tryLock(change);
  if (server === undefined) say("Waiting for another command on the local cloud to end.");
  while (server === undefined) {
    await waitForRelease(change);
    server = await tryLock(change);
  }
  try {
    return await work();
  } finally {
    server.close();
  }
}

/** Keeps the local cloud from being stopped by others until the returned function is called or this process ends. */
export async function holdCloud(): Promise<() => void> {
  const server = await tryLock(`${use}-${String(process.pid)}`);
  return () => server?.close();
}

/** Whether some process keeps the local cloud. */
export const isCloudInUse = (): boolean => readFileSync("/proc/net/unix", "utf8").includes(`@${use}`);

async function tryLock(name: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((connection) => connection.unref());
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(undefined) : reject(error),
    );
    server.listen(`\0${name}`, () => resolve(server.unref()));
  });
}

/** Resolves when the process that holds a name lets go of it: its end of the connection closes. */
async function waitForRelease(name: string): Promise<void> {
  return new Promise((resolve) => {
    createConnection(`\0${name}`)
      .on("close", () => resolve())
      .on("error", () => undefined)
      .resume();
  });
}
