// What the helper may do to service accounts: what helper/resources/service-account.ts does, so that nothing of others is lost or added.
import { entriesAnnotation, maxEntriesAnnotation, ownLabels } from "../../helper/shared/ownership.ts";
import {
  addsNone,
  created,
  deleted,
  isOwn,
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

/** Whether a helper of the stack noted a name: an earlier one may have had other names. `"secrets"` is a key of the note. */
const isNoted = `n != "secrets" && variables.noted.contains("\\"" + n + "\\"")`;

/**
 * Whether the helper has the right to keep a secret of that name. One that ends, because the next one has other names, goes by
 * those of its own role until that one goes, too. It costs a third of what an expression may: it is asked last.
 */
const mayKeep = (name: string): string =>
  `authorizer.group("").resource("secrets").namespace(request.namespace).name(${name}).check("patch").allowed()`;

/** The names in a list of references, as they will be and as they are, and those of them that are no helper's. */
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

/** Others' entries stay, in their order; what is new is the helper's own. */
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

/** In other namespaces than those for builds entries are only taken back. */
const addsInBuildsOnly = (names: readonly string[]): string =>
  anyOf([
    "variables.isBuild",
    allOf(lists.map((list) => `variables.${list}.all(n, !(n in ${literal(names)}) || n in variables.${list}Before)`)),
  ]);

/** The helper's note of its entries, in the one form that it writes, with no names but its own: it takes back what it noted. */
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

export function accountRules(kept: KeptObjects): Rules {
  const names = [...kept.basicAuthSecrets, kept.pullSecret];
  const key = entriesAnnotation(kept);
  const noted = `variables.annotationsBefore[?${literal(key)}].optMap(v, size(string(v)) <= ${String(maxEntriesAnnotation)} ? string(v) : "").orValue("")`;
  const isOwnLabel = `k in ${literal(Object.keys(ownLabels(kept)))}`;
  const takesNone = allOf([
    `variables.labels.all(k, !(${isOwnLabel}) || variables.labelsBefore[?k].orValue("") == variables.labels[k])`,
    `variables.owners.all(r, ${existed})`,
    `variables.ownersBefore.all(r, ${isOwner(kept)} || ${exists})`,
  ]);
  const isMade = allOf([
    "variables.isBuild",
    isOwn(kept, "labels"),
    `variables.owners.exists(r, ${isOwner(kept)})`,
    "variables.owners.size() == 1",
  ]);
  return {
    variables: [
      ...metadata,
      { name: "isBuild", expression: isBuildNamespace(kept.targets) },
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
