// Which names and patterns of namespaces can be of use in a stack.
import { namespacePattern } from "../../helper/shared/names.ts";
import {
  createMatcher,
  isDynamic,
  isPattern,
  matchesGlob,
  staticNamespaces,
  type NamespaceRules,
} from "../../helper/shared/namespace-rules.ts";
import type { Rule } from "./item-reader.ts";

/** Requires a name or pattern that may match a build namespace. */
export const createNamespaceRule =
  (rules: NamespaceRules): Rule =>
  (text) => {
    if (!namespacePattern.test(text)) return "a name of a namespace or a pattern of names";
    return mayMatch(rules, text) ? undefined : "one that matches a build namespace: see buildNamespaces";
  };

/** Of two patterns nobody can say whether some namespace matches both. */
function mayMatch(rules: NamespaceRules, namespace: string): boolean {
  if (!isDynamic(rules)) return staticNamespaces(rules).some((one) => matchesGlob(namespace, one));
  return (
    isPattern(namespace) ||
    createMatcher({ ...rules, namespaceSelector: "" })(namespace, {}) ||
    isSelectable(rules, namespace)
  );
}

/** Whether a selector can include a namespace: one that is not reserved or excluded. */
const isSelectable = (rules: NamespaceRules, namespace: string): boolean =>
  rules.namespaceSelector !== "" &&
  createMatcher({ ...rules, namespaceSelector: "", buildNamespaces: ["*"] })(namespace, {});
