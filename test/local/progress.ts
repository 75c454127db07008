// Shows the progress of long steps on standard error, so that standard output has only the result of a command.

const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`;

/** On a terminal the line that counts the time of a running step is overwritten by the next one. */
const write = (text: string): void => void process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : text);

/** Writes a line to standard error. */
export const say = (text: string): void => write(`${text}\n`);

/** Seconds between two reports of a running step: a terminal overwrites the line, a log file would grow. */
const reportInterval = (): number => (process.stderr.isTTY ? 1 : 15);

/** Runs a step. One that takes longer than a second is shown with its elapsed time, and at its end with the total time. */
export async function step<T>(name: string, work: () => Promise<T>): Promise<T> {
  const since = performance.now();
  let ticks = 0;
  const timer = setInterval(() => {
    if (ticks++ % reportInterval() === 0) write(`  ${name} ... ${seconds(since)}${process.stderr.isTTY ? "" : "\n"}`);
  }, 1_000);
  try {
    const result = await work();
    if (ticks > 0) say(`  ${name} (${seconds(since)})`);
    return result;
  } catch (error) {
    say(`  ${name} failed (${seconds(since)})`);
    throw error;
  } finally {
    clearInterval(timer);
  }
}
