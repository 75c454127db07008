// Property values as the engine and its plugins exchange them: JSON, with a sentinel for values that are unknown in a preview, and a
// signature that marks secrets.
// https://github.com/pulumi/pulumi/blob/master/sdk/go/common/resource/plugin/rpc.go
// https://github.com/pulumi/pulumi/blob/master/sdk/go/common/resource/sig/sig.go

/** The inputs or outputs of a resource, by name. */
export type Properties = Record<string, unknown>;

/** The sentinel for a value of any type that is known only after the update (UnknownStringValue in rpc.go). */
export const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

const signature = "4dabf18193072939515e22adb298388d";
const secretSignature = "1b47061264138c4ac30d75fd1eb44270";

interface Secret {
  readonly value: unknown;
}

/** Whether a value is an object, and neither a list nor null. */
export const isObject = (value: unknown): value is Properties =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether a value is marked as secret. */
export const isSecret = (value: unknown): value is Secret => isObject(value) && value[signature] === secretSignature;

/** Marks a value as secret; a marked value is returned unchanged. */
export const secret = (value: unknown): unknown =>
  isSecret(value) ? value : { [signature]: secretSignature, value: plain(value) };

/** The value without marks: secrets in it are in plain text. */
export function plain(value: unknown): unknown {
  if (isSecret(value)) return plain(value.value);
  if (Array.isArray(value)) return value.map(plain);
  return isObject(value) ? plainProperties(value) : value;
}

/** The properties without marks and without null values, which mean "absent" to the engine. */
export const plainProperties = (properties: Properties): Properties =>
  Object.fromEntries(
    Object.entries(properties).flatMap(([key, value]) => {
      const inner = plain(value);
      return inner === null || inner === undefined ? [] : [[key, inner]];
    }),
  );

/** Whether the value is unknown, or contains an unknown value. */
export function hasUnknown(value: unknown): boolean {
  if (value === unknown) return true;
  if (Array.isArray(value)) return value.some(hasUnknown);
  return isObject(value) && Object.values(value).some(hasUnknown);
}

/** Whether the value is marked as secret, or contains a secret. */
export function hasSecret(value: unknown): boolean {
  if (isSecret(value)) return true;
  if (Array.isArray(value)) return value.some(hasSecret);
  return isObject(value) && Object.values(value).some(hasSecret);
}

/** All non-empty strings within the secrets of a value. */
export function secretsIn(value: unknown): string[] {
  if (isSecret(value)) return textsIn(plain(value.value));
  if (Array.isArray(value)) return value.flatMap(secretsIn);
  return isObject(value) ? Object.values(value).flatMap(secretsIn) : [];
}

function textsIn(value: unknown): string[] {
  if (typeof value === "string") return value === "" ? [] : [value];
  if (Array.isArray(value)) return value.flatMap(textsIn);
  return isObject(value) ? Object.values(value).flatMap(textsIn) : [];
}

/**
 * Marks the values in `properties` whose counterparts in `marked` are secret, as the engine does for plugins that accept no secrets
 * (annotateSecrets in sdk/go/common/resource/plugin/provider_plugin.go).
 */
export const markSecrets = (properties: Properties, marked: Properties): Properties =>
  Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, markAs(value, marked[key])]));

function markAs(value: unknown, marked: unknown): unknown {
  if (isSecret(value) || !hasSecret(marked)) return value;
  if (!isSecret(marked) && isObject(value) && isObject(marked)) return markSecrets(value, marked);
  return secret(value);
}

/** Whether two plain values are equal. The order of keys does not matter. */
export const isSame = (one: unknown, other: unknown): boolean => canonical(one) === canonical(other);

/** JSON with sorted keys and without spaces, so that equal values have equal texts. */
export const canonical = (value: unknown): string => JSON.stringify(sorted(value));

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, inner]) => [key, sorted(inner)]));
}

/** Whether Terraform treats a value as absent: "", false, 0, and empty lists and objects. */
export function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "" || value === false || value === 0) return true;
  if (Array.isArray(value)) return value.length === 0;
  return isObject(value) && Object.keys(value).length === 0;
}
