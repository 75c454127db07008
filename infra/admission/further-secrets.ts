// The rules for further secrets, by their definitions. The definitions of an old helper are not known here: until its role is deleted it
// goes on with what it has made.
import { fieldManager, ownLabels, updateManager } from "../../helper/shared/ownership.ts";
import type { SecretDefinition } from "../../helper/shared/secret-definition.ts";
import { addsNone, created, deleted, keepsOthers, updated, type KeptObjects, type Variable } from "./rules.ts";
import { allOf, anyOf, literal, matchesAny } from "./cel.ts";

/** A map of texts, or of such maps, as a CEL literal. */
const mapLiteral = (value: object): string => JSON.stringify(value);

/** The condition for the definition of the object's name, or the other one where it has none. */
const byName = (
  { furtherSecrets }: KeptObjects,
  condition: (definition: SecretDefinition) => string,
  otherwise: string,
): string =>
  `(${furtherSecrets.map((one) => `object.metadata.name == ${literal(one.name)} ? ${condition(one)} : `).join("")}${otherwise})`;

/** Whether the secret has this type and these keys, and no others but those that others have added. */
export const hasType = (type: string, keys: readonly string[]): string =>
  allOf([
    `object.type == ${literal(type)}`,
    ...keys.map((key) => `${literal(key)} in variables.data`),
    `variables.data.all(k, k in ${literal(keys)} || k in variables.dataBefore)`,
  ]);

/**
 * Whether the secret is as its definition has it, or `otherwise` for the names without one. A secret that is no login for builds and no
 * pull secret may also be one of an old helper, whose type never changes, and which gets no further key.
 */
export const isAsDefined = (kept: KeptObjects, otherwise: string): string =>
  anyOf([
    byName(kept, ({ type, data }) => hasType(type, Object.keys(data)), otherwise),
    allOf([
      updated,
      `!(object.metadata.name in ${literal([...kept.basicAuthSecrets, kept.pullSecret, ...kept.tokensSecrets])})`,
      "variables.data.all(k, k in variables.dataBefore)",
    ]),
  ]);

/** Whether a further secret is in one of its namespaces, and any other one where `otherwise` holds. */
export const isInItsNamespaces = (kept: KeptObjects, isBuild: string, otherwise: string): string =>
  byName(kept, ({ namespaces }) => allOf([isBuild, anyOf(matchesAny(namespaces))]), otherwise);

/** By the object's name, what the definitions say of it. */
const wanted = ({ furtherSecrets }: KeptObjects, of: (definition: SecretDefinition) => object): string => {
  const all = Object.fromEntries(furtherSecrets.map((one) => [one.name, of(one)]));
  return furtherSecrets.length === 0 ? "{}" : `${mapLiteral(all)}[?object.metadata.name].orValue({})`;
};

const keysOf = (map: object): object => Object.fromEntries(Object.keys(map).map((key) => [key, ""]));

/** The variables that the conditions below use. */
export const furtherVariables = (kept: KeptObjects): Variable[] => [
  { name: "wantedLabels", expression: wanted(kept, ({ labels }) => labels) },
  // Without their values, which are templates of any text.
  { name: "wantedAnnotations", expression: wanted(kept, ({ annotations }) => keysOf(annotations)) },
  {
    name: "written",
    expression:
      `${created} || ${deleted} ? [] : oldObject.metadata.?managedFields.orValue([])` +
      `.filter(m, m.?manager.orValue("") in ${literal([fieldManager, updateManager])})` +
      `.map(m, m.?fieldsV1[?"f:metadata"].orValue({}))`,
  },
];

/** Whether the helper itself has written the key `k` of the old object's labels or annotations. */
const isWritten = (map: "labels" | "annotations"): string =>
  `variables.written.exists(m, ("f:" + k) in m[?"f:${map}"].orValue({}))`;

/**
 * Whether annotations of others stay, and only those of definitions are new; `isOwn` is a condition on a key `k` of the helper's other
 * ones.
 */
export const keepsAnnotations = (isOwn: string): string =>
  allOf([
    keepsOthers("annotations", anyOf([isOwn, "k in variables.wantedAnnotations", isWritten("annotations")])),
    addsNone("annotations", anyOf([isOwn, "k in variables.wantedAnnotations"])),
  ]);

/** Whether labels of others stay, and only those of the stack and, with their values, of definitions are new. */
export const keepsLabels = allOf([
  keepsOthers("labels", anyOf(["k in variables.wantedLabels", isWritten("labels")])),
  `variables.labels.all(k, ${anyOf([
    `k in ${literal(Object.keys(ownLabels({ owner: "" })))}`,
    ...["labelsBefore", "wantedLabels"].map((map) =>
      allOf([`k in variables.${map}`, `variables.${map}[k] == variables.labels[k]`]),
    ),
  ])})`,
]);
