// Compares policy documents by their meaning in AWS, not by their text: github.com/hashicorp/awspolicyequivalence, which the
// original's DiffSuppressFunc calls (verify.SuppressEquivalentPolicyDiffs).
import type { InputSpec } from "../schema.ts";
import { canonical, isObject, isSame } from "../values.ts";

/** An IAM policy (verify.ValidIAMPolicyJSON). */
export const iamPolicyInput: InputSpec = {
  type: "string",
  required: true,
  transform: toJson,
  validate: validPolicy,
  equivalent: isEquivalentPolicy,
  normalize: normalizeJson,
};

/** A policy of ECR: any JSON is accepted (validation.StringIsJSON). */
export const resourcePolicyInput: InputSpec = { ...iamPolicyInput, validate: validJson };

/** A lifecycle policy of ECR: compared rule by rule, by their priority (equivalentLifecyclePolicyJSON). */
export const lifecyclePolicyInput: InputSpec = {
  type: "string",
  required: true,
  forceNew: true,
  transform: toJson,
  validate: validJson,
  equivalent: (old, next) => isSame(lifecycleRules(old), lifecycleRules(next)),
  normalize: normalizeJson,
};

/** A validation: JSON of any kind (validation.StringIsJSON). */
export function validJson(text: string): string | undefined {
  return parse(text) === undefined ? "contains an invalid JSON" : undefined;
}

function validPolicy(text: string): string | undefined {
  if (text === "") return "is an empty string, which is not a valid JSON value";
  if (/^\s/.test(text)) return "contains an invalid JSON policy: leading space characters are not allowed";
  if (!text.startsWith("{")) return "contains an invalid JSON policy: not a JSON object";
  return validJson(text);
}

/** Programs may pass a document as an object (TransformJSONDocument in pulumi-terraform-bridge). */
function toJson(value: unknown): unknown {
  return isObject(value) ? JSON.stringify(value) : value;
}

/** The form in which the state keeps JSON: sorted keys, no spaces (structure.NormalizeJsonString). */
export function normalizeJson(value: unknown): unknown {
  const document = typeof value === "string" ? parse(value) : undefined;
  return document === undefined ? value : canonical(document);
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
};

/** Whether two policy documents, as JSON, have the same meaning in AWS. Invalid JSON is equivalent to nothing. */
export function isEquivalentPolicy(one: unknown, other: unknown): boolean {
  const [a, b] = [parse(String(one)), parse(String(other))];
  return a !== undefined && b !== undefined && canonical(documentOf(a)) === canonical(documentOf(b));
}

/** The normal form of a document, in which equivalent documents are equal: single values are lists, and sets are sorted. */
function documentOf(document: unknown): unknown {
  if (!isObject(document)) return document;
  // Without a version AWS applies the first version of the policy language.
  return { Version: "2008-10-17", ...document, Statement: unordered(listOf(document["Statement"]).map(statementOf)) };
}

function statementOf(statement: unknown): unknown {
  if (!isObject(statement)) return statement;
  const entries = Object.entries(statement)
    .filter(([key, value]) => !(key === "Sid" && value === ""))
    .map(([key, value]) => [key, elementOf(key, value)] as const);
  return Object.fromEntries(entries);
}

function elementOf(key: string, value: unknown): unknown {
  // Actions are not case-sensitive.
  if (/Action$/.test(key)) return unordered(listOf(value).map((action) => String(action).toLowerCase()));
  if (/Resource$/.test(key)) return unordered(listOf(value));
  if (/Principal$/.test(key)) return principalOf(value);
  if (key === "Condition" && isObject(value)) return mapped(value, conditionOf);
  return value;
}

/** `*` is equivalent to {"AWS": "*"}, and an account's id to the ARN of its root. */
function principalOf(value: unknown): unknown {
  const byKind = isObject(value) ? value : { AWS: value };
  return mapped(byKind, (principals) =>
    unordered(listOf(principals).map((one) => String(one).replace(/^arn:[\w-]+:iam::(\d{12}):root$/, "$1"))),
  );
}

const conditionOf = (values: unknown): unknown =>
  isObject(values) ? mapped(values, (one) => unordered(listOf(one).map(String))) : values;

const mapped = (object: Record<string, unknown>, change: (value: unknown) => unknown): Record<string, unknown> =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : value === undefined ? [] : [value]);

const unordered = (values: unknown[]): unknown[] =>
  [...new Map(values.map((value) => [canonical(value), value])).entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, value]) => value);

function lifecycleRules(policy: unknown): unknown {
  const document = parse(String(policy));
  const rules = isObject(document) ? listOf(document["rules"]) : [];
  const priority = (rule: unknown): number => (isObject(rule) ? Number(rule["rulePriority"] ?? 0) : 0);
  return [...rules].sort((a, b) => priority(a) - priority(b)).map(ruleOf);
}

function ruleOf(rule: unknown): unknown {
  if (!isObject(rule) || !isObject(rule["selection"])) return rule;
  const entries = Object.entries(rule["selection"])
    .map(([key, value]) => [key, Array.isArray(value) ? [...(value as string[])].sort() : value] as const)
    .filter(([, value]) => !(Array.isArray(value) && value.length === 0));
  return { ...rule, selection: Object.fromEntries(entries) };
}
