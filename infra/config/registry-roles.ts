// Reads the entries of `registries`, of the stack and of its groups, each a host, or an object with the role that asks for that registry's token.
import { isRecord } from "../../helper/shared/record.ts";
import type { RegistryRole, RegistryRoleWithHosts } from "../../helper/shared/registry-logins.ts";
import type { Registry } from "../registry.ts";
import { roleArn as roleArnPattern, tag } from "./aws-names.ts";
import { otherPartitionMistake } from "./partition.ts";

/** Adds a mistake in an entry: the value of the wrong part of it, and what is expected instead. */
type AddMistake = (value: string, expected: string) => void;

/** A host, which may still be any text, and its role; undefined for the identity of the stack, or of the group. */
export interface RegistryEntry {
  readonly host: string;
  readonly role: RegistryRole | undefined;
  readonly addMistake: AddMistake;
}

/** What the entries depend on. */
export interface EntryContext {
  readonly own: Registry;
  /** The helper's identity, which may still be any text. */
  readonly identity: string | undefined;
  readonly addMistake: AddMistake;
}

const fields = ["host", "roleArn", "externalId", "sessionTags"] as const;

/** https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html */
const externalIdPattern = /^[\w+=,.@:/-]{2,1224}$/;
const maxTags = 50;
/** The keys of the tags that a session of EKS Pod Identity has, and passes on: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html */
const podIdentityTag = /^(?:eks-cluster-(?:arn|name)|kubernetes-(?:namespace|service-account|pod-name|pod-uid))$/i;

/** Reads one entry, and collects the mistakes in it but those of the host. Empty where there is no host. `form` describes an entry. */
export function readEntry(entry: unknown, form: string, context: EntryContext): RegistryEntry[] {
  const { addMistake } = context;
  if (typeof entry === "string") return [{ host: entry, role: undefined, addMistake }];
  if (!isRecord(entry) || typeof entry["host"] !== "string") {
    addMistake(JSON.stringify(entry), form);
    return [];
  }
  return [{ host: entry["host"], role: readRole(entry, context), addMistake }];
}

function readRole(entry: Readonly<Record<string, unknown>>, context: EntryContext): RegistryRole | undefined {
  const { addMistake, own } = context;
  if (Object.keys(entry).some((one) => !fields.some((field) => field === one))) {
    addMistake(JSON.stringify(entry), `no fields but ${fields.join(", ")}`);
  }
  const arn = readText(
    entry,
    { field: "roleArn", form: "arn:PARTITION:iam::ACCOUNT:role/NAME" },
    roleArnPattern,
    addMistake,
  );
  const idForm = "2 to 1224 letters, digits or _+=,.@:/-";
  const externalId = readText(entry, { field: "externalId", form: idForm }, externalIdPattern, addMistake);
  const sessionTags = readTags(entry["sessionTags"] ?? [], context);
  if (arn !== undefined) {
    const expected = otherPartitionMistake({ what: "a role", pattern: roleArnPattern }, arn, own);
    if (expected !== undefined) addMistake(arn, expected);
    return { roleArn: arn, ...(externalId === undefined ? {} : { externalId }), sessionTags };
  }
  if (entry["roleArn"] === undefined && (entry["externalId"] ?? entry["sessionTags"]) !== undefined) {
    addMistake(JSON.stringify(entry), "a roleArn beside externalId and sessionTags, which are a role's");
  }
  return undefined;
}

/** A field of an entry; undefined where it is not set. `pulumi config set --path` writes a text of digits as a number. */
function readText(
  entry: Readonly<Record<string, unknown>>,
  { field, form }: { readonly field: "roleArn" | "externalId"; readonly form: string },
  pattern: RegExp,
  addMistake: AddMistake,
): string | undefined {
  const value = entry[field];
  if (value === undefined) return undefined;
  const text = typeof value === "number" && Number.isSafeInteger(value) ? String(value) : value;
  if (typeof text === "string" && pattern.test(text)) return text;
  addMistake(typeof text === "string" ? text : JSON.stringify(text), `as ${field} ${form}`);
  return typeof text === "string" ? text : "";
}

function readTags(value: unknown, { addMistake, identity }: EntryContext): Readonly<Record<string, string>> {
  const form = `as sessionTags a list of KEY=VALUE, at most ${String(maxTags)}, with a KEY that does not start with aws: and is not __proto__`;
  const list = Array.isArray(value) ? (value as unknown[]) : [];
  if (!Array.isArray(value) || list.length > maxTags) addMistake(JSON.stringify(value), form);
  const tags = list.filter((one) => typeof one === "string" && tag.test(one)) as string[];
  for (const one of list.filter((other) => !tags.some((right) => right === other))) {
    addMistake(typeof one === "string" ? one : JSON.stringify(one), form);
  }
  const pairs = tags.map((one) => [one.slice(0, one.indexOf("=")), one.slice(one.indexOf("=") + 1)] as const);
  const names = pairs.map(([name]) => name);
  const twice = names.find((name, index) => names.findIndex((other) => isSameKey(other, name)) !== index);
  if (twice !== undefined) addMistake(twice, "each KEY of sessionTags once: AWS does not tell case");
  const isPod = identity === "podIdentity";
  for (const name of names.filter((one) => isPod && podIdentityTag.test(one))) {
    addMistake(name, "another KEY: sessions of identity podIdentity have that tag, and pass it on");
  }
  return Object.fromEntries(pairs);
}

const isSameKey = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();

/**
 * The roles with their hosts. Collects the mistakes that several entries together have; `elsewhere` are the roles that other
 * lists have.
 */
export function rolesOf(
  entries: readonly RegistryEntry[],
  elsewhere: readonly RegistryRole[] = [],
): readonly RegistryRoleWithHosts[] {
  const roles = new Map<string, RegistryRole & { hosts: string[] }>();
  for (const { host, role, addMistake } of entries) {
    if (role === undefined) continue;
    const known = roles.get(role.roleArn) ?? { ...role, hosts: [] };
    if (![known, ...elsewhere].every((one) => one.roleArn !== role.roleArn || isSameRole(one, role))) {
      addMistake(
        role.roleArn,
        "the same externalId and sessionTags with each registry: a role has one token in a region",
      );
    }
    roles.set(role.roleArn, { ...known, hosts: [...new Set([...known.hosts, host])] });
  }
  return [...roles.values()];
}

const isSameRole = (one: RegistryRole, other: RegistryRole): boolean =>
  one.externalId === other.externalId && JSON.stringify(one.sessionTags) === JSON.stringify(other.sessionTags);
