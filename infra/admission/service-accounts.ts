// The rules for service accounts: the helper may only do what helper/resources/service-account.ts does, so that it
// neither removes nor adds anything of others.
import { entriesAnnotation, maxEntriesAnnotation, ownLabels } from "../../helper/shared/ownership.ts";
import {
  addsNone,
  created,
  deleted,
  isOwn,
  isOwned,
  isOwner,
  exists,
  keepsFinalizers,
  keepsOthers,
  metadata,
  updated,
  existed,
  type KeptObjects,
  type Rules,
  type Validation,
  type Variable,
} from "./rules.ts";
import { allOf, anyOf, isBuildNamespace, literal } from "./cel.ts";

const lists = ["secrets", "imagePullSecrets"] as const;
type List = (typeof lists)[number];

/**
 * Whether the annotation lists a name `n`, maybe one of an earlier helper's other names. `"secrets"` is a key in it.
 */
const isNoted = `n != "secrets" && variables.noted.contains("\\"" + n + "\\"")`;

/**
 * Whether RBAC lets the helper keep a secret of that name. An old helper, whose successor has other names, continues
 * with its own names until its role is deleted. The check costs a third of an expression's budget, so it comes last.
 */
const mayKeep = (name: string): string =>
  `authorizer.group("").resource("secrets").namespace(request.namespace).name(${name}).check("patch").allowed()`;

/**
 * Variables for the names in a list of references, in the new and in the old object, and for those that are not a
 * helper's.
 */
const namesIn = (list: List, names: readonly string[]): Variable[] => {
  const namesOf = (object: string): string => `${object}.?${list}.orValue([]).map(e, e.?name.orValue(""))`;
  const ofOthers = (of: string): string => `variables.${of}.filter(n, !(n in ${literal(names)} || ${isNoted}))`;
  const before = `${list}Before`;
  return [
    { name: list, expression: `${deleted} ? [] : ${namesOf("object")}` },
    { name: before, expression: `${created} ? [] : ${namesOf("oldObject")}` },
    { name: `${list}OfOthers`, expression: ofOthers(list) },
    { name: `${list}OfOthersBefore`, expression: ofOthers(before) },
  ];
};

/** Requires that others' entries stay, in their order, and that new entries are the helper's own. */
const keepsEntries = (list: List): Validation => {
  const [others, othersBefore] = [`variables.${list}OfOthers`, `variables.${list}OfOthersBefore`];
  const isOfLastHelper = allOf([
    "variables.isBuild",
    `${othersBefore}.all(n, n in ${others})`,
    `${others}.all(n, n in ${othersBefore} || ${mayKeep("n")})`,
  ]);
  return {
    expression: `${deleted} || ${others} == ${othersBefore} || ${isOfLastHelper}`,
    message: `the helper may only add and remove its own secrets in ${list} of a service account`,
  };
};

/** Outside the build namespaces the helper may remove its entries, but add none. */
const addsInBuildsOnly = (names: readonly string[]): string =>
  anyOf([
    "variables.isBuild",
    allOf(lists.map((list) => `variables.${list}.all(n, !(n in ${literal(names)}) || n in variables.${list}Before)`)),
  ]);

/**
 * Restricts the annotation that lists the helper's entries to its one format and to the helper's names: it removes what
 * it listed.
 */
function notesOwnEntries(key: string, names: readonly string[]): Validation {
  const one = '"[a-z0-9.-]+"';
  const form = `^{"secrets":\\[(${one}(,${one})*)?\\],"imagePullSecrets":\\[(${one}(,${one})*)?\\]}$`.replaceAll(
    /[{}]/g,
    "\\$&",
  );
  const note = `variables.annotations[?${literal(key)}]`;
  const known = [...lists, ...names].map((name) => `"${name}"`);
  const isKnown = anyOf([
    `q in ${literal(known)}`,
    "variables.noted.contains(q)",
    allOf(["variables.isBuild", mayKeep('q.replace("\\"", "")')]),
  ]);
  const isOwnNote = `v.matches(${literal(form)}) && v.findAll(${literal('"[^"]*"')}).all(q, ${isKnown})`;
  return {
    expression: `${note} == variables.annotationsBefore[?${literal(key)}] || ${note}.optMap(v, ${isOwnNote}).orValue(true)`,
    message: "the helper may only note entries of its own in a service account",
  };
}

const keepsTheRest = (isOwnLabel: string, isNote: string): Validation => ({
  expression: `${deleted} || ${allOf([
    keepsOthers("labels", isOwnLabel),
    keepsOthers("annotations", isNote),
    addsNone("annotations", isNote),
    keepsFinalizers,
    `object.?automountServiceAccountToken == (${created} ? optional.none() : oldObject.?automountServiceAccountToken)`,
  ])}`,
  message: "the helper may change nothing in a service account but its own entries, labels, owner and annotation",
});

/** The rules for service accounts. */
export function accountRules(kept: KeptObjects): Rules {
  const names = [...kept.basicAuthSecrets, kept.pullSecret];
  const key = entriesAnnotation(kept);
  const noted = `variables.annotationsBefore[?${literal(key)}].optMap(v, size(string(v)) <= ${String(maxEntriesAnnotation)} ? string(v) : "").orValue("")`;
  const isOwnLabel = `k in ${literal(Object.keys(ownLabels(kept)))}`;
  const takesNone = allOf([
    `variables.labels.all(k, !(${isOwnLabel}) || variables.labelsBefore[?k].orValue("") == variables.labels[k])`,
    `variables.owners.all(r, ${existed} || ${allOf([isOwner(kept), isOwn(kept, "labelsBefore")])})`,
    `variables.ownersBefore.all(r, ${isOwner(kept)} || ${exists})`,
  ]);
  const isMade = allOf([
    "variables.isBuild",
    isOwn(kept, "labels"),
    `variables.owners.all(r, ${isOwner(kept)})`,
    isOwned(kept),
  ]);
  return {
    variables: [
      ...metadata,
      { name: "isBuild", expression: isBuildNamespace(kept.namespaceRules) },
      { name: "noted", expression: noted },
      ...lists.flatMap((list) => namesIn(list, names)),
    ],
    validations: [
      {
        expression: `!(${created}) || ${isMade}`,
        message: "the helper may only make service accounts in build namespaces of its stack, and owned by it",
      },
      {
        expression: `!(${updated}) || ${takesNone}`,
        message: "the helper may give back a service account that it made, but not take one of others",
      },
      {
        expression: `!(${deleted}) || ${allOf([
          isOwn(kept, "labelsBefore"),
          ...lists.map((list) => `variables.${list}OfOthersBefore.size() == 0`),
        ])}`,
        message: "the helper may only delete a service account that it made, with no entries of others",
      },
      {
        expression: `${deleted} || ${addsInBuildsOnly(names)}`,
        message: "the helper may only add entries to service accounts in build namespaces of its stack",
      },
      ...lists.map(keepsEntries),
      notesOwnEntries(key, names),
      keepsTheRest(isOwnLabel, `k == ${literal(key)}`),
    ],
  };
}
