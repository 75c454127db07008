// What Kubernetes accepts in a further secret, to compare with infra/config/secrets.ts and helper/shared/secret-definition.ts.
import fc from "fast-check";
import type { SecretDefinition } from "../../helper/shared/secret-definition.ts";
import { all, isLabelKey, isLabelWord, isSubdomain, mayMeanNamespace, type Rule } from "./acceptable.ts";
import type { Check } from "./acceptable-pod.ts";
import { anyText } from "./arbitraries.ts";
import { alphanumeric, consistsOf } from "./text-rules.ts";

/** Valid values of `secrets`. */
export const validSecrets: readonly string[] = [
  [{ name: "argocd", form: "argocd-repo-creds", repository: "charts", namespaces: ["d*"], labels: { team: "a" } }],
  [{ name: "x.y", type: "example.com/x", data: { "a-b_c.d": "$${ ${url} $" }, login: "pull" }],
  [{ name: "flux", form: "flux", annotations: { "example.com/host": "${host}, ${region}" } }],
  [{ name: "auths", type: "kubernetes.io/dockerconfigjson", data: { ".dockerconfigjson": '{"a":"${auth}"}' } }],
].map((list) => JSON.stringify(list));

type Json = string | readonly Json[] | { readonly [key: string]: Json };

/** The same value with one of its texts, or of its keys, replaced by any other. */
function mutated(value: Json): fc.Arbitrary<Json> {
  if (typeof value === "string") return anyText([value]);
  if (Array.isArray(value)) {
    const list = value as readonly Json[];
    return fc.nat({ max: list.length - 1 }).chain((at) => mutated(list[at] ?? "").map((one) => list.with(at, one)));
  }
  const entries = Object.entries(value);
  if (entries.length === 0) return anyText([""]);
  return fc.tuple(fc.nat({ max: entries.length - 1 }), fc.boolean()).chain(([at, isKey]) => {
    const [key, entry] = entries[at] ?? ["", ""];
    const changed = isKey
      ? anyText([key]).map((other): [string, Json] => [other, entry])
      : mutated(entry).map((other): [string, Json] => [key, other]);
    return changed.map((one) => Object.fromEntries(entries.with(at, one)));
  });
}

/** The JSON of lists as the valid ones, most of which have a mistake. */
export const mutationsOf = (valid: readonly string[]): fc.Arbitrary<string> =>
  fc
    .constantFrom(...valid)
    .chain((text) => mutated(JSON.parse(text) as Json))
    .map((value) => JSON.stringify(value));

/** The JSON of lists of secrets. */
export const someSecrets = mutationsOf(validSecrets);

/** The texts in the JSON of a value, and the JSON of each of its parts. */
export function partsOf(value: unknown): string[] {
  if (typeof value === "string") return [value];
  const parts: unknown[] = typeof value === "object" && value !== null ? Object.values(value) : [];
  return [JSON.stringify(value), ...parts.flatMap(partsOf)];
}

const isDataKey: Rule = (value) =>
  all(consistsOf(`${alphanumeric}-_.`, 1, 253)(value), value !== ".", !value.startsWith(".."));
const isFreeLabelKey: Rule = (value) =>
  all(
    isLabelKey(value),
    !value.startsWith("ecr-helper/"),
    !["app.kubernetes.io/managed-by", "app.kubernetes.io/instance"].includes(value),
  );
const kubernetesTypes = ["basic-auth", "dockercfg", "dockerconfigjson"].map((type) => `kubernetes.io/${type}`);
const isType: Rule = (value) =>
  kubernetesTypes.includes(value) ||
  (consistsOf(`${alphanumeric}-_./`, 1, 253)(value) && !/kubernetes\.io|k8s\.io/.test(value.split("/")[0] ?? ""));

/** Whether each `${` but those of `$${` begins a placeholder of these. */
const isTemplateOf =
  (...known: string[]): Rule =>
  (value) =>
    value
      .replaceAll("$${", "")
      .split("${")
      .slice(1)
      .every((rest) => rest.includes("}") && known.includes(rest.slice(0, rest.indexOf("}"))));
const places = ["host", "url", "region", "account"];

/** The fields of the secrets, with the rules of Kubernetes and of the templates. */
export const secretChecks = (secrets: readonly SecretDefinition[]): Check[] =>
  secrets.flatMap(({ name, type, labels, annotations, namespaces, data }): Check[] => [
    [isSubdomain, name],
    [isType, type],
    [isFreeLabelKey, ...Object.keys(labels), ...Object.keys(annotations)],
    [(value) => value === "" || isLabelWord(value), ...Object.values(labels)],
    [isTemplateOf(...places), ...Object.values(annotations)],
    [mayMeanNamespace, ...namespaces],
    [isDataKey, ...Object.keys(data)],
    [isTemplateOf(...places, "username", "password", "auth", "dockerconfig"), ...Object.values(data)],
  ]);
