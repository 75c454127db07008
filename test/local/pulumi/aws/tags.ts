// Tags: the resource's own, and with the provider's default tags all that it has (verify.SetTagsDiff and
// internal/tags of terraform-provider-aws).
import type { InputSpec } from "../schema.ts";
import type { Properties } from "../values.ts";
import type { AwsSession } from "./session.ts";

/** A tag as most of AWS takes it. */
export interface Tag {
  Key: string;
  Value: string;
}

type Tags = Readonly<Record<string, string>>;

/** The tags that the program gives. */
export const tagsInput: InputSpec = { type: "map", validate: validTags };

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html: AWS refuses the prefix for everybody's own tags. */
function validTags(tags: Tags): string | undefined {
  const reserved = Object.keys(tags).find((key) => key.toLowerCase().startsWith("aws:"));
  return reserved === undefined ? undefined : `the tag ${reserved} starts with aws:, which AWS keeps for itself`;
}

const ownTags = (properties: Properties): Tags => (properties["tags"] ?? {}) as Tags;

/** All tags that a resource of these inputs is to have. */
export const allTags = (inputs: Properties, { config }: AwsSession): Tags => ({
  ...config.defaultTags,
  ...ownTags(inputs),
});

/** `tagsAll` as it will be. */
export const planTags = (inputs: Properties, session: AwsSession): Properties => ({
  tagsAll: allTags(inputs, session),
});

/** Tags as most of AWS takes them. */
export const toTagList = (tags: Tags): Tag[] => Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));

/** What the state says of a resource's tags. */
export function observedTags(
  tags: readonly { Key?: string | undefined; Value?: string | undefined }[] | Tags | undefined,
  { config }: AwsSession,
  state: Properties,
): Properties {
  const pairs = Array.isArray(tags)
    ? (tags as { Key?: string; Value?: string }[]).map(({ Key = "", Value = "" }): [string, string] => [Key, Value])
    : Object.entries((tags ?? {}) as Tags);
  const { keys, keyPrefixes } = config.ignoreTags;
  const isIgnored = (key: string): boolean =>
    key.startsWith("aws:") || keys.includes(key) || keyPrefixes.some((prefix) => key.startsWith(prefix));
  const all = pairs.filter(([key]) => !isIgnored(key)).sort(([a], [b]) => (a < b ? -1 : 1));
  const isDefault = ([key, value]: [string, string]): boolean =>
    config.defaultTags[key] === value && ownTags(state)[key] !== value;
  const own = all.filter((pair) => !isDefault(pair));
  return { tags: Object.fromEntries(own), tagsAll: Object.fromEntries(all) };
}

/** The tags to set and the keys to take away between a state and new inputs. */
export function retagging(
  { state, inputs }: { state: Properties; inputs: Properties },
  session: AwsSession,
): { set: Tags; removed: string[] } {
  const before = (state["tagsAll"] ?? {}) as Tags;
  const after = allTags(inputs, session);
  return {
    set: Object.fromEntries(Object.entries(after).filter(([key, value]) => before[key] !== value)),
    removed: Object.keys(before).filter((key) => !Object.hasOwn(after, key)),
  };
}

/** Changes the tags of a resource where they differ. */
export async function retag(
  change: { state: Properties; inputs: Properties },
  session: AwsSession,
  calls: { set: (tags: Tags) => Promise<unknown>; remove: (keys: string[]) => Promise<unknown> },
): Promise<void> {
  const { set, removed } = retagging(change, session);
  if (removed.length > 0) await calls.remove(removed);
  if (Object.keys(set).length > 0) await calls.set(set);
}
