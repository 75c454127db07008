// The further secrets that a stack keeps beside the logins for builds and the pull secret: their definitions, as the stack hands them to
// its helper in JSON.
import { parseList } from "./environment.ts";
import { dockerConfigKey, dockerConfigType } from "./docker-config.ts";
import { labelKey, labelValue, namespacePattern, objectName } from "./names.ts";
import { matchesGlob } from "./namespace-rules.ts";
import { annotationPrefix, ownLabels } from "./ownership.ts";
import { isRecord } from "./record.ts";
import {
  expandTemplate,
  placeholders,
  publicPlaceholders,
  templateMistake,
  type Placeholder,
} from "./secret-template.ts";

type Texts = Readonly<Record<string, string>>;

/** The logins of a secret: the one for pulls, or the one of builds, which are the same where nothing is pushed. */
export const logins = ["pull", "push"] as const;

/** A further secret. */
export interface SecretDefinition {
  readonly name: string;
  readonly type: string;
  readonly labels: Texts;
  /** Templates with `publicPlaceholders`. */
  readonly annotations: Texts;
  /** Names and patterns of those build namespaces that get it. */
  readonly namespaces: readonly string[];
  /** The host of the registry that it logs in to; "" for the stack's own. */
  readonly registry: string;
  readonly login: (typeof logins)[number];
  /** Templates of the fields, by key. */
  readonly data: Texts;
}

/** A key of a secret's data: https://kubernetes.io/docs/concepts/configuration/secret/#restriction-names-data */
export const dataKey = /^(?!\.\.|\.$)[-._A-Za-z0-9]{1,253}$/;
const labelKeyOnly = new RegExp(`^${labelKey}$`);

/**
 * The type of a secret: of Kubernetes' own only those that hold a login to a registry. It gives others a meaning, such as
 * service-account-token, which it fills with the token of a service account.
 */
export const secretType = {
  test: (type: string): boolean =>
    [opaque, dockerConfigType, dockercfgType, basicAuthType].includes(type) ||
    (/^[A-Za-z0-9][-\w./]{0,252}$/.test(type) && !/^(?:.*\.)?(?:kubernetes|k8s)\.io(?:\/|$)/.test(type)),
};

/** The type of a secret of any content. */
export const opaque = "Opaque";
/** The type of a secret with a user's name and password. */
export const basicAuthType = "kubernetes.io/basic-auth";
/** The type of a secret with a docker config as Docker wrote it before `config.json`. */
export const dockercfgType = "kubernetes.io/dockercfg";

/** The keys that the types with a docker config need. */
const configKeys = new Map([
  [dockerConfigType, dockerConfigKey],
  [dockercfgType, ".dockercfg"],
]);

/** What is expected of the fields of a secret of this type, which the API server would refuse; undefined where it would not. */
export function dataMistake(type: string, data: Texts): string | undefined {
  const has = (key: string): boolean => Object.hasOwn(data, key);
  if (type === basicAuthType && !has("username") && !has("password"))
    return `a field username or password, which type ${type} needs`;
  const key = configKeys.get(type);
  if (key === undefined) return undefined;
  return has(key) && isJson(data[key] ?? "")
    ? undefined
    : `a field ${key} with the JSON of an object, which type ${type} needs`;
}

const examples = Object.fromEntries(
  placeholders.map((name) => [name, name === "dockerconfig" ? "{}" : "example"]),
) as Record<Placeholder, string>;

function isJson(template: string): boolean {
  try {
    const parsed: unknown = JSON.parse(expandTemplate(template, examples));
    return isRecord(parsed);
  } catch {
    return false;
  }
}

/** Whether a key of labels or annotations may be given: not those by which the helper knows its objects. */
export const isFreeKey = (key: string): boolean =>
  !key.startsWith(annotationPrefix) && !Object.hasOwn(ownLabels({ owner: "" }), key);

/** Whether a key of a label or annotation is valid and may be given. */
export const isMetadataKey = (key: string): boolean => labelKeyOnly.test(key) && isFreeKey(key);

/** Whether a value of a label is valid. */
export const isLabelValue = (value: string): boolean => value === "" || labelValue.test(value);

const isTextsOf = (value: unknown, isEntry: (key: string, text: string) => boolean): boolean =>
  isRecord(value) && Object.entries(value).every(([key, text]) => typeof text === "string" && isEntry(key, text));
const isText = (value: unknown, pattern: Pick<RegExp, "test">): boolean =>
  typeof value === "string" && pattern.test(value);

/** What each field of a definition has to be. */
const fields: Readonly<Record<keyof SecretDefinition, (value: unknown) => boolean>> = {
  name: (value) => isText(value, objectName),
  type: (value) => isText(value, secretType),
  labels: (value) => isTextsOf(value, (key, text) => isMetadataKey(key) && isLabelValue(text)),
  annotations: (value) =>
    isTextsOf(value, (key, text) => isMetadataKey(key) && templateMistake(text, publicPlaceholders) === undefined),
  namespaces: (value) =>
    Array.isArray(value) && value.length > 0 && value.every((one) => isText(one, namespacePattern)),
  registry: (value) => typeof value === "string",
  login: (value) => logins.some((one) => one === value),
  data: (value) => isTextsOf(value, (key, text) => dataKey.test(key) && templateMistake(text) === undefined),
};

function isDefinition(value: unknown): value is SecretDefinition {
  if (!isRecord(value) || Object.keys(value).length !== Object.keys(fields).length) return false;
  if (!Object.entries(fields).every(([field, isRight]) => Object.hasOwn(value, field) && isRight(value[field])))
    return false;
  const { type, data } = value as unknown as SecretDefinition;
  return dataMistake(type, data) === undefined;
}

/** Parses the JSON of definitions; undefined for anything but valid ones with distinct names. */
export function parseDefinitions(json: string): readonly SecretDefinition[] | undefined {
  const definitions = parseList(json, isDefinition);
  return new Set(definitions?.map(({ name }) => name)).size === definitions?.length ? definitions : undefined;
}

/** Whether a build namespace gets a further secret. */
export const isIn = ({ namespaces }: Pick<SecretDefinition, "namespaces">, namespace: string): boolean =>
  namespaces.some((pattern) => matchesGlob(pattern, namespace));
