// Secrets as Pulumi's wire format marks them: https://github.com/pulumi/pulumi/blob/master/sdk/go/common/resource/sig/sig.go
const signature = "4dabf18193072939515e22adb298388d";

export const isSecret = (value: unknown): value is { value: unknown } =>
  typeof value === "object" && value !== null && signature in value && "value" in value;

/** A value without the marks: what the secrets in it hide stands there plain. */
export function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  if (isSecret(value)) return plain(value.value);
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
}
