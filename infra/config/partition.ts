// The partitions of AWS know nothing of each other: what an ARN or a host names has to be in the stack's own.
import type { Registry } from "../registry.ts";
import type { ConfigReader } from "./reader.ts";

/** What is expected instead of a registry or repository in another partition. */
export const inOwnPartition = (what: string, own: Registry, partition: string): string =>
  `${what} in the stack's partition, ${own.partition}: an identity of ${own.partition} is unknown in ${partition}; ` +
  "run a second stack there";

/** Adds a mistake for each ARN of IAM in another partition. Those that do not match the pattern are reported already. */
export function rejectOtherPartitions(
  config: ConfigReader,
  { key, what, pattern }: { readonly key: string; readonly what: string; readonly pattern: RegExp },
  values: readonly (string | undefined)[],
  own: Registry,
): void {
  for (const one of values.filter((value) => value !== undefined)) {
    const partition = pattern.test(one) && one.startsWith("arn:") ? one.split(":")[1] : undefined;
    if (partition === undefined || partition === own.partition) continue;
    const expected = `${what} in the stack's partition, ${own.partition}: one of ${partition} is unknown there`;
    config.addMistake(key, one, expected);
  }
}
