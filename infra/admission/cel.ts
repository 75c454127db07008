// Parts of CEL expressions, the language of admission policies: https://kubernetes.io/docs/reference/using-api/cel/
import { parseRequirements, type Requirement } from "../../helper/shared/label-selector.ts";
import { isPattern, reservedNamespaces, type NamespaceRules } from "../../helper/shared/namespace-rules.ts";

/** A string or a list of strings as a CEL literal. CEL supports all escapes of JSON. */
export const literal = (value: string | readonly string[]): string => JSON.stringify(value);

/** One operand that is true if any of the conditions holds. */
export const anyOf = (conditions: readonly string[]): string =>
  conditions.length === 0 ? "false" : `(${conditions.join(" || ")})`;
/** One operand that is true if all of the conditions hold. */
export const allOf = (conditions: readonly string[]): string =>
  conditions.length === 0 ? "true" : `(${conditions.join(" && ")})`;

/** Whether the namespace of a request is a build namespace. It must agree with `createMatcher` in helper/shared. */
export function isBuildNamespace(rules: NamespaceRules): string {
  const { buildNamespaces, excludeNamespaces, namespaceSelector } = rules;
  const reserved = reservedNamespaces(rules);
  const isNamed = `request.namespace in ${literal(reserved.filter((one) => buildNamespaces.includes(one)))}`;
  const isSelected = namespaceSelector === "" ? [] : [allOf(parseRequirements(namespaceSelector).map(isMet))];
  const isIncluded = anyOf([...matchesAny(buildNamespaces), ...isSelected]);
  const isReserved = `request.namespace in ${literal(reserved)}`;
  return `!${anyOf(matchesAny(excludeNamespaces))} && (${isReserved} ? ${isNamed} : ${isIncluded})`;
}

/** Conditions on the namespace of a request, one of which holds where one of these names or patterns matches it. */
export function matchesAny(patterns: readonly string[]): string[] {
  const names = patterns.filter((one) => !isPattern(one));
  const globs = patterns.filter(isPattern);
  return [
    ...(names.length === 0 ? [] : [`request.namespace in ${literal(names)}`]),
    ...(globs.length === 0
      ? []
      : [`request.namespace.matches(${literal(`^(${globs.map(globExpression).join("|")})$`)})`]),
  ];
}

/** A glob as an RE2 expression, which takes linear time in every case. */
const globExpression = (glob: string): string =>
  glob
    .replace(/[^-a-z0-9*?]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");

/** Whether the labels of a request's namespace meet a requirement. */
function isMet({ key, operator, values }: Requirement): string {
  const label = `namespaceObject.metadata.?labels[?${literal(key)}]`;
  const holds = (condition: string): string => `${label}.optMap(v, ${condition}).orValue(false)`;
  const compared = (sign: string): string =>
    // `int` fails for anything beyond 64 bits, and an error denies the request, as if the comparison were false.
    holds(`v.matches("^-?[0-9]+$") && int(v) ${sign} ${String(BigInt(values[0] ?? ""))}`);
  switch (operator) {
    case "Exists":
      return `${label}.hasValue()`;
    case "DoesNotExist":
      return `!${label}.hasValue()`;
    case "In":
      return holds(`v in ${literal(values)}`);
    case "NotIn":
      return `!${holds(`v in ${literal(values)}`)}`;
    case "Gt":
      return compared(">");
    case "Lt":
      return compared("<");
  }
}
