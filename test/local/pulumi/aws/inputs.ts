// Inputs that several AWS types share, with the validation that the original provider makes before it calls AWS.
import type { InputSpec } from "../schema.ts";
import type { AwsSession } from "./session.ts";
import type { Properties } from "../values.ts";

/** A validation: a name of IAM with at most `maxLength` characters (validResourceName in internal/service/iam). */
export const iamName =
  (maxLength: number) =>
  (name: string): string | undefined => {
    if (name.length < 1 || name.length > maxLength) {
      return `expected length to be in the range (1 - ${String(maxLength)}), got ${name}`;
    }
    return /^[\w+=,.@-]*$/.test(name) ? undefined : `invalid value (must match [\\w+=,.@-])`;
  };

/** A validation: at least `min` and at most `max` characters (validation.StringLenBetween). */
export const lengthBetween =
  (min: number, max: number) =>
  (value: string): string | undefined =>
    value.length >= min && value.length <= max
      ? undefined
      : `expected length to be in the range (${String(min)} - ${String(max)}), got ${String(value.length)} characters`;

/** A validation: one of the given values (validation.StringInSlice). */
export const oneOf =
  (...values: readonly string[]) =>
  (value: string): string | undefined =>
    values.includes(value) ? undefined : `expected to be one of ${JSON.stringify(values)}, got ${value}`;

const arnParts = [
  { name: "partition", index: 1, pattern: /^aws(-[a-z]+)*$/ },
  { name: "region", index: 3, pattern: /^$|^[a-z]{2}(-[a-z]+)+-\d{1,2}$/ },
  { name: "account ID", index: 4, pattern: /^$|^(aws|aws-managed|third-party|\d{12}|cw.{10})$/ },
] as const;

/** A validation: an ARN, or an empty text (verify.ValidARN in internal/verify/validate.go). */
export function validArn(value: string): string | undefined {
  if (value === "") return undefined;
  const parts = value.split(":");
  const invalid = (why: string): string => `(${value}) is an invalid ARN: ${why}`;
  if (parts[0] !== "arn") return invalid("arn: invalid prefix");
  if (parts.length < 6) return invalid("arn: not enough sections");
  const wrong = arnParts.find(({ index, pattern }) => !pattern.test(parts[index] ?? ""));
  if (wrong !== undefined) {
    return invalid(`invalid ${wrong.name} value (expecting to match regular expression: ${wrong.pattern.source})`);
  }
  return parts.slice(5).join(":") === "" ? invalid("missing resource value") : undefined;
}

/** An optional ARN. */
export const arnInput: InputSpec = { type: "string", validate: validArn };

/** An IAM path. */
export const pathInput: InputSpec = { type: "string", default: "/", validate: lengthBetween(0, 512) };

/** The region of a resource; the provider's by default. */
export const regionInput: InputSpec = {
  type: "string",
  computed: true,
  forceNew: true,
  validate: (region: string) =>
    /^[a-z]{2}(-[a-z]+)+-\d{1,2}$/.test(region) ? undefined : `(${region}) is not a valid Region`,
};

/** Plans the region: a resource without a region of its own is replaced when the provider's region changes. */
export const planRegion = (inputs: Properties, session: AwsSession): Properties => ({
  region: regionOf(inputs, session),
});

/** The region of a resource's properties, or the provider's. */
export const regionOf = (properties: Properties, session: AwsSession): string =>
  text(properties, "region") ?? session.region;

/** A string input; undefined where it is missing or empty. */
export function text(properties: Properties, key: string): string | undefined {
  const value = properties[key];
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** A time in the format of the original provider (time.RFC3339). */
export const timestamp = (date: Date | undefined): string | undefined => date?.toISOString().replace(/\.\d{3}Z$/, "Z");
