// Locks for the local cloud: only one command at a time changes it, and no command stops it during a test run.
import { readFileSync } from "node:fs";
import { createConnection, createServer, type Server } from "node:net";
import { say } from "./progress.ts";

// Names of sockets in Linux' abstract namespace. The kernel frees them when the process ends, so a crash leaves no lock behind.
const change = "ecr-helper-local-cloud";
const use = "ecr-helper-local-cloud-user";

/** Runs `work` with the lock on changes of the cloud; waits while another process has it. */
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

/** Keeps other processes from stopping the cloud until the returned function is called or this process ends. */
export async function holdCloud(): Promise<() => void> {
  const server = await tryLock(`${use}-${String(process.pid)}`);
  return () => server?.close();
}

/** Whether some process has called `holdCloud` and still needs the cloud. */
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

/** Resolves when the process that has the lock releases it, which closes the connection. */
async function waitForRelease(name: string): Promise<void> {
  return new Promise((resolve) => {
    createConnection(`\0${name}`)
      .on("close", () => resolve())
      .on("error", () => undefined)
      .resume();
  });
}
