// Decides which namespaces are build namespaces, by names, glob patterns, a label selector and exclusions.
import { matchesRequirement, parseRequirements, type Labels } from "./label-selector.ts";

/** The part of the configuration that chooses the build namespaces. */
export interface NamespaceRules {
  /** Names and glob patterns. */
  readonly buildNamespaces: readonly string[];
  /** Names and glob patterns; they take precedence over everything else. */
  readonly excludeNamespaces: readonly string[];
  /** Selects further namespaces, in the syntax of `kubectl get --selector`; "" for none. */
  readonly namespaceSelector: string;
  /** The helper's own namespace. */
  readonly namespace: string;
}

/** The namespaces of the cluster itself. */
const systemNamespaces = ["kube-system", "kube-public", "kube-node-lease"];

/** The namespaces that only their exact name includes, and no pattern or selector. */
export const reservedNamespaces = ({ namespace }: Pick<NamespaceRules, "namespace">): string[] => [
  ...systemNamespaces,
  namespace,
];

/** Whether an entry of the rules is a glob pattern rather than a name. */
export const isPattern = (name: string): boolean => /[*?]/.test(name);

/** Whether the rules can include namespaces that they do not name, so that the helper has to watch all namespaces. */
export const isDynamic = ({ buildNamespaces, namespaceSelector }: NamespaceRules): boolean =>
  namespaceSelector !== "" || buildNamespaces.some(isPattern);

/** The distinct build namespaces of rules that name each of them; empty for dynamic rules. */
export function staticNamespaces(rules: NamespaceRules): string[] {
  if (isDynamic(rules)) return [];
  const matches = createMatcher(rules);
  return [...new Set(rules.buildNamespaces)].filter((name) => matches(name, {}));
}

/** Returns a function that tells by name and labels whether a namespace is a build namespace. Throws as `parseSelector`. */
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

/** Returns a function that tells whether a name is one of these, or matches a pattern among them. */
export function matchesAny(patterns: readonly string[]): (name: string) => boolean {
  const names = new Set(patterns.filter((one) => !isPattern(one)));
  const globs = patterns.filter(isPattern);
  return (name) => names.has(name) || globs.some((glob) => matchesGlob(glob, name));
}

/**
 * Whether a glob matches a name. After a mismatch it resumes at the last `*` only, which then takes one character more. A
 * regular expression with that many `.*` would backtrack exponentially.
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

/** Returns a function that matches labels against a selector. Throws an error that quotes the first wrong requirement. */
export function parseSelector(selector: string): (labels: Labels) => boolean {
  const requirements = parseRequirements(selector);
  return (labels) => requirements.every((requirement) => matchesRequirement(labels, requirement));
}
