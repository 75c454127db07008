// The partitions of AWS know nothing of each other: what an ARN or a host names has to be in the stack's own.
import type { Registry } from "../registry.ts";
import type { ConfigReader } from "./reader.ts";

/** What is expected instead of a registry or repository in another partition. */
export const inOwnPartition = (what: string, own: Registry, partition: string): string =>
  `${what} in the stack's partition, ${own.partition}: an identity of ${own.partition} is unknown in ${partition}; ` +
  "run a second stack there";

/** The ARNs of IAM that a key has, and what they are of. */
interface IamArns {
  readonly what: string;
  readonly pattern: RegExp;
}

/** What is expected instead of an ARN of IAM in another partition; undefined for one that does not match the pattern. */
export function otherPartitionMistake({ what, pattern }: IamArns, arn: string, own: Registry): string | undefined {
  const partition = pattern.test(arn) && arn.startsWith("arn:") ? arn.split(":")[1] : undefined;
  if (partition === undefined || partition === own.partition) return undefined;
  return `${what} in the stack's partition, ${own.partition}: one of ${partition} is unknown there`;
}

/** Adds a mistake for each ARN of IAM in another partition. Those that do not match the pattern are reported already. */
export function rejectOtherPartitions(
  config: ConfigReader,
  { key, ...arns }: IamArns & { readonly key: string },
  values: readonly (string | undefined)[],
  own: Registry,
): void {
  for (const one of values.filter((value) => value !== undefined)) {
    const expected = otherPartitionMistake(arns, one, own);
    if (expected !== undefined) config.addMistake(key, one, expected);
  }
}
