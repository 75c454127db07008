// Progress of long steps on standard error, so that standard output stays what a command was asked for.
import { setInterval } from "node:timers";

const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`;

/** Says `text` on a line of its own. */
export const say = (text: string): void => void process.stderr.write(`${text}\n`);

/**
 * Runs a step. A step that takes more than a second is shown with its elapsed time while it runs, then with the total;
 * a shorter one is not worth a line. On a terminal the time counts on one line, elsewhere a line comes every half minute.
 */
export async function step<T>(name: string, work: () => Promise<T>): Promise<T> {
  const since = performance.now();
  const terminal = process.stderr.isTTY;
  let shown = false;
  const timer = setInterval(
    () => {
      shown = true;
      process.stderr.write(terminal ? `\r  ${name} ... ${seconds(since)}` : `  ${name} ... ${seconds(since)}\n`);
      timer.ref();
    },
    terminal ? 1_000 : 30_000,
  );
  try {
    const result = await work();
    if (shown || performance.now() - since > 1_000)
      process.stderr.write(`${terminal ? "\r" : ""}  ${name} (${seconds(since)})\n`);
    return result;
  } catch (error) {
    process.stderr.write(`${terminal && shown ? "\r" : ""}  ${name} failed (${seconds(since)})\n`);
    throw error;
  } finally {
    clearInterval(timer);
  }
}
