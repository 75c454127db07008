// The building blocks of the rules in acceptable.ts and acceptable-aws.ts.

/** Whether a value is valid. */
export type Rule = (value: string) => boolean;

/** The lower-case ASCII letters. */
export const letters = "abcdefghijklmnopqrstuvwxyz";
/** The ASCII digits. */
export const digits = "0123456789";
/** The lower-case ASCII letters and the digits. */
export const lower = letters + digits;
/** The ASCII letters of both cases and the digits. */
export const alphanumeric = lower + letters.toUpperCase();
/** Whether all conditions hold. */
export const all = (...conditions: boolean[]): boolean => conditions.every((one) => one);

/** A rule: `least` to `most` characters, all of them allowed ones. */
export const consistsOf =
  (allowed: string, least = 1, most = Infinity): Rule =>
  (value) =>
    value.length >= least && value.length <= most && Array.from(value).every((one) => allowed.includes(one));
/** Whether the first and the last character are allowed ones. */
export const startsAndEndsIn = (value: string, allowed: string): boolean =>
  value !== "" && allowed.includes(value[0] ?? "") && allowed.includes(value.at(-1) ?? "");
/** Printable ASCII without spaces. */
export const isPrintable: Rule = (value) => Array.from(value).every((one) => one > " " && one < "\u007F");
/** A decimal number of at most 20 digits, within bounds. */
export const isNumber = (value: string, least: number, most: number): boolean =>
  all(consistsOf(digits, 1, 20)(value), Number(value) >= least, Number(value) <= most);

/** A DNS label, as k8s.io/apimachinery/pkg/util/validation defines it. */
export const isLabel: Rule = (value) => consistsOf(`${lower}-`, 1, 63)(value) && startsAndEndsIn(value, lower);

/** A DNS name. */
export const isHostName: Rule = (value) => value.length <= 253 && value.split(".").every(isLabel);

/** Letters and digits, separated by one point, one or two underscores, or any number of dashes. */
const isPathComponent: Rule = (value) =>
  startsAndEndsIn(value, lower) &&
  value
    .split(/[a-z0-9]+/)
    .slice(1, -1)
    .every((separator) => [".", "_", "__"].includes(separator) || consistsOf("-")(separator));
/** The path of an image in a registry, which is the name of its repository in ECR. */
export const isImagePath: Rule = (value) => value.split("/").every(isPathComponent);
