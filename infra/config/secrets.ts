// Reads the further secrets that the helper keeps in build namespaces.
import { ownNameMistake } from "../first-pull.ts";
import { hostOfRegistry, type Registry } from "../registry.ts";
import { repositoryName } from "./aws-names.ts";
import type { ConfigReader } from "./reader.ts";
import { formNames, formsFor, urlField, type Form } from "./secret-forms.ts";
import { createNamespaceRule } from "./may-match.ts";
import { checkVariableSize } from "./variable-size.ts";
import { ItemReader, matching, type EntryRule, type Rule, type Texts } from "./item-reader.ts";
import { allLogins, registryLogins, type RegistriesConfig } from "./registries.ts";
import { keptNames } from "../secret-names.ts";
import type { Group } from "../../helper/shared/groups.ts";
import { labelKey, objectName } from "../../helper/shared/names.ts";
import type { NamespaceRules } from "../../helper/shared/namespace-rules.ts";
import {
  dataKey,
  dataMistake,
  isFreeKey,
  isLabelValue,
  logins,
  opaque,
  secretType,
  type SecretDefinition,
} from "../../helper/shared/secret-definition.ts";
import { publicPlaceholders, templateMistake } from "../../helper/shared/secret-template.ts";

/** What the secrets depend on. */
export interface SecretsContext extends RegistriesConfig {
  readonly own: Registry;
  readonly rules: NamespaceRules;
  readonly groups: readonly Group[];
  /** Whether a login can push: one of the stack's own lists has repositories to push to, or one of a group. */
  readonly isPushed: boolean;
  readonly basicAuthSecret: string;
  readonly pullSecret: string;
  /** The name of the stack's own secret. */
  readonly app: string;
}

const key = "secrets";
const fields = [
  "name",
  "form",
  "repository",
  "type",
  "labels",
  "annotations",
  "namespaces",
  "registry",
  "login",
  "data",
];

/** Each name costs the helper a watch, and memory for each namespace that has the secret. */
const maxSecrets = 10;

/** Reads the further secrets, and collects the mistakes in them. Forms are replaced by what they stand for. */
export function readSecrets(config: ConfigReader, context: SecretsContext): readonly SecretDefinition[] {
  const items = config.objects(key, "secrets, each with name and form, or name and data");
  const taken: string[] = [];
  const secrets = items.map(([index, item]) => readSecret(new ItemReader(config, key, index, item), context, taken));
  if (items.length > maxSecrets)
    config.addListMistake(key, items, `at most ${String(maxSecrets)} secrets: another stack can keep more`);
  checkVariableSize(config, key, items, secrets);
  return secrets;
}

function readSecret(item: ItemReader, context: SecretsContext, taken: string[]): SecretDefinition {
  item.allowOnly(fields);
  const name = readName(item, context, taken);
  const form = readForm(item, name);
  const type = form?.type ?? item.text("type", matching(secretType, typeForm)) ?? opaque;
  const data = form === undefined ? readData(item, type) : form.data;
  return {
    name,
    type,
    labels: readMetadata(item, "labels", form, isLabel),
    annotations: readMetadata(item, "annotations", form, isAnnotation),
    namespaces: readNamespaces(item, context.rules),
    registry: readRegistry(item, context),
    login: readLogin(item, context) ?? form?.login ?? "pull",
    data,
  };
}

const typeForm =
  "Opaque, kubernetes.io/basic-auth, kubernetes.io/dockerconfigjson, kubernetes.io/dockercfg, or a type that is not Kubernetes' own";

function readName(item: ItemReader, context: SecretsContext, taken: string[]): string {
  const nameForm = "a name of a Kubernetes object (lower case, digits, - and .)";
  const { app, own, groups } = context;
  const names = keptNames(context, { registries: allLogins(hostOfRegistry(own), context), groups });
  const kept = [...names.basicAuthSecrets, names.pullSecret, ...names.tokensSecrets];
  const rule: Rule = (text) => {
    if (!objectName.test(text)) return nameForm;
    if (taken.includes(text)) return "each name once";
    if (kept.includes(text)) return "another name: basicAuthSecret, pullSecret or a group has this one";
    return ownNameMistake(text, app);
  };
  const name = item.text("name", rule);
  if (!item.has("name")) item.addMistake(["name"], "", nameForm);
  if (name !== undefined) taken.push(name);
  return name ?? "";
}

/** The form, with the repository in its URL; undefined for a secret with fields of its own. */
function readForm(item: ItemReader, name: string): Form | undefined {
  const isKnown: Rule = (text) => (formNames.includes(text) ? undefined : formNames.join(", "));
  const chosen = item.text("form", isKnown);
  if (chosen === undefined || isKnown(chosen) !== undefined) {
    item.reject("repository", "none without a form of Argo CD");
    return undefined;
  }
  const form = formsFor(name)[chosen];
  for (const field of ["type", "data"]) item.reject(field, `none beside form, which sets it: leave out one of the two`);
  if (form?.hasUrl !== true) item.reject("repository", "none with this form, but with those of Argo CD");
  const repository = item.text("repository", matching(repositoryName, "the name of a repository, or how it begins"));
  if (form?.hasUrl !== true || repository === undefined) return form;
  return { ...form, data: { ...form.data, [urlField]: `${form.data[urlField] ?? ""}/${repository}` } };
}

function readData(item: ItemReader, type: string): Texts {
  const rule: EntryRule = (field, text) =>
    dataKey.test(field) ? templateMistake(text) : "a key of letters, digits, - _ and ., at most 253";
  const data = item.texts("data", rule);
  if (item.has("form")) return {};
  if (data === undefined) {
    item.addMistake(["data"], "", `templates of the fields by key, or a form: ${formNames.join(", ")}`);
    return {};
  }
  const expected = dataMistake(type, data);
  if (expected !== undefined) item.addMistake(["data"], data, expected);
  return data;
}

const labelKeyOnly = new RegExp(`^${labelKey}$`);

/** Labels or annotations, with those of the form. */
function readMetadata(item: ItemReader, field: "labels" | "annotations", form: Form | undefined, rule: Rule): Texts {
  const ofForm = form?.[field] ?? {};
  const given = item.texts(field, (name, text) => {
    if (!labelKeyOnly.test(name)) return "a key as Kubernetes has it: NAME or DOMAIN/NAME";
    if (!isFreeKey(name)) return "another key: the helper sets this one";
    return Object.hasOwn(ofForm, name) ? "another key: the form sets this one" : rule(text);
  });
  return { ...ofForm, ...given };
}

const isLabel: Rule = (text) =>
  isLabelValue(text) ? undefined : "a value of a label: at most 63 letters, digits, - _ and ., no placeholder";
const isAnnotation: Rule = (text) => templateMistake(text, publicPlaceholders);

function readNamespaces(item: ItemReader, rules: NamespaceRules): readonly string[] {
  const namespaces = item.list("namespaces", createNamespaceRule(rules));
  if (namespaces?.length === 0)
    item.addMistake(["namespaces"], [], "at least one name or pattern, or no such field for all");
  return [...new Set(namespaces ?? ["*"])];
}

function readRegistry(item: ItemReader, context: SecretsContext): string {
  const own = hostOfRegistry(context.own);
  const logins = [...registryLogins(context), ...context.groups.flatMap(({ registries }) => registries)];
  const hosts = [own, context.registryHost, ...logins.map(({ host }) => host)];
  const expected = `the host of the stack's own registry, ${own}, registryHost, or one of registries`;
  return item.text("registry", (text) => (hosts.includes(text) ? undefined : expected)) ?? "";
}

function readLogin(item: ItemReader, { isPushed }: SecretsContext): SecretDefinition["login"] | undefined {
  const rule: Rule = (text) => {
    if (!(logins as readonly string[]).includes(text)) return logins.join(" or ");
    return text === "push" && !isPushed ? "pull, or pushRepositories: without these no login can push" : undefined;
  };
  return item.text("login", rule) as SecretDefinition["login"] | undefined;
}
