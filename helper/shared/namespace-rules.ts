// Which namespaces are build namespaces: names, glob patterns and a label selector, less those that are excluded.
import { matchesRequirements, parseRequirements, type Labels } from "./label-selector.ts";

export interface NamespaceRules {
  /** Names and glob patterns. */
  readonly buildNamespaces: readonly string[];
  /** Names and glob patterns; they win over everything else. */
  readonly excludeNamespaces: readonly string[];
  /** Namespaces that are meant besides, in the syntax of `kubectl get --selector`; "" for none. */
  readonly namespaceSelector: string;
  /** The helper's own. */
  readonly namespace: string;
}

/** Where the cluster itself runs. Like the helper's own namespace they are meant by their names only. */
const systemNamespaces = ["kube-system", "kube-public", "kube-node-lease"];

/** The namespaces that are meant by their names only: no pattern and no selector means them. */
export const reservedNamespaces = ({ namespace }: Pick<NamespaceRules, "namespace">): string[] => [
  ...systemNamespaces,
  namespace,
];

export const isPattern = (name: string): boolean => /[*?]/.test(name);

/** Whether the rules mean namespaces whose names are not known beforehand, so that those of the cluster are watched. */
export const isDynamic = ({ buildNamespaces, namespaceSelector }: NamespaceRules): boolean =>
  namespaceSelector !== "" || buildNamespaces.some(isPattern);

/** The build namespaces of rules that name each of them; none of open-ended rules. */
export function staticNamespaces(rules: NamespaceRules): string[] {
  if (isDynamic(rules)) return [];
  const matches = createMatcher(rules);
  return [...new Set(rules.buildNamespaces)].filter((name) => matches(name, {}));
}

/** Gives the test of a namespace by its name and labels. */
export function createMatcher(rules: NamespaceRules): (name: string, labels: Labels) => boolean {
  const isIncluded = matchesAny(rules.buildNamespaces);
  const isExcluded = matchesAny(rules.excludeNamespaces);
  const isSelected = rules.namespaceSelector === "" ? () => false : parseSelector(rules.namespaceSelector);
  const reserved = new Set(reservedNamespaces(rules));
  return (name, labels) => {
    if (isExcluded(name)) return false;
    if (reserved.has(name)) return rules.buildNamespaces.includes(name);
    return isIncluded(name) || isSelected(labels);
  };
}

function matchesAny(patterns: readonly string[]): (name: string) => boolean {
  const names = new Set(patterns.filter((one) => !isPattern(one)));
  const globs = patterns.filter(isPattern);
  return (name) => names.has(name) || globs.some((glob) => matchesGlob(glob, name));
}

/**
 * Whether a glob means a name. Where it goes wrong it goes back to the last `*` only, which takes one character more: a
 * regular expression with as many `.*` would try all combinations.
 */
export function matchesGlob(glob: string, name: string): boolean {
  let [at, lastStar, resume] = [0, -1, 0];
  for (let index = 0; index < name.length;) {
    if (glob[at] === "*") {
      [lastStar, resume] = [at++, index];
    } else if (glob[at] === "?" || glob[at] === name[index]) {
      at++;
      index++;
    } else if (lastStar >= 0) {
      [at, index] = [lastStar + 1, ++resume];
    } else {
      return false;
    }
  }
  return /^\**$/.test(glob.slice(at));
}

/** Gives the test that a label selector means. Throws an error that says which of its requirements is wrong. */
export function parseSelector(selector: string): (labels: Labels) => boolean {
  const requirements = parseRequirements(selector);
  return (labels) => requirements.every((requirement) => matchesRequirements(labels, requirement));
}
