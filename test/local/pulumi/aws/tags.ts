// Tags of a resource: its own tags, and `tagsAll`, which includes the provider's default tags (verify.SetTagsDiff and
// internal/tags of terraform-provider-aws).
import type { InputSpec } from "../schema.ts";
import type { Properties } from "../values.ts";
import type { AwsSession } from "./session.ts";

/** A tag in the form of most AWS APIs. */
export interface Tag {
  Key: string;
  Value: string;
}

type Tags = Readonly<Record<string, string>>;

/** The tags that the program sets. */
export const tagsInput: InputSpec = { type: "map", validate: validTags };

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html: AWS reserves the prefix `aws:`. */
function validTags(tags: Tags): string | undefined {
  const reserved = Object.keys(tags).find((key) => key.toLowerCase().startsWith("aws:"));
  return reserved === undefined ? undefined : `the tag ${reserved} starts with aws:, which AWS keeps for itself`;
}

const ownTags = (properties: Properties): Tags => (properties["tags"] ?? {}) as Tags;

/** All desired tags of a resource, including the default tags. */
export const allTags = (inputs: Properties, { config }: AwsSession): Tags => ({
  ...config.defaultTags,
  ...ownTags(inputs),
});

/** Plans `tagsAll`. */
export const planTags = (inputs: Properties, session: AwsSession): Properties => ({
  tagsAll: allTags(inputs, session),
});

/** Tags in the form of most AWS APIs. */
export const toTagList = (tags: Tags): Tag[] => Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));

/** `tags` and `tagsAll` for the state, without ignored tags. Default tags are only in `tagsAll`. */
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

/** The tags to set and the keys to remove to get from a state to new inputs. */
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

/** Calls AWS to change the tags of a resource; makes no call where nothing differs. */
export async function retag(
  change: { state: Properties; inputs: Properties },
  session: AwsSession,
  calls: { set: (tags: Tags) => Promise<unknown>; remove: (keys: string[]) => Promise<unknown> },
): Promise<void> {
  const { set, removed } = retagging(change, session);
  if (removed.length > 0) await calls.remove(removed);
  if (Object.keys(set).length > 0) await calls.set(set);
}
