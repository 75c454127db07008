// Parts of expressions in the language of the API server's policies: https://kubernetes.io/docs/reference/using-api/cel/
import { parseRequirements, type Requirement } from "../../helper/shared/label-selector.ts";
import { isPattern, reservedNamespaces, type NamespaceRules } from "../../helper/shared/namespace-rules.ts";

/** A string or a list of strings as a literal: the escapes of JSON are among those of CEL. */
export const literal = (value: string | readonly string[]): string => JSON.stringify(value);

/** Alternatives, or conditions that all have to hold, as one operand. */
export const anyOf = (conditions: readonly string[]): string =>
  conditions.length === 0 ? "false" : `(${conditions.join(" || ")})`;
export const allOf = (conditions: readonly string[]): string =>
  conditions.length === 0 ? "true" : `(${conditions.join(" && ")})`;

/** Whether the namespace of a request is a build namespace: the same that `createMatcher` decides. */
export function isBuildNamespace(rules: NamespaceRules): string {
  const { buildNamespaces, excludeNamespaces, namespaceSelector } = rules;
  const reserved = reservedNamespaces(rules);
  const isNamed = `request.namespace in ${literal(reserved.filter((one) => buildNamespaces.includes(one)))}`;
  const isSelected = namespaceSelector === "" ? [] : [allOf(parseRequirements(namespaceSelector).map(isMet))];
  const isMeant = anyOf([...matchesAny(buildNamespaces), ...isSelected]);
  const isReserved = `request.namespace in ${literal(reserved)}`;
  return `!${anyOf(matchesAny(excludeNamespaces))} && (${isReserved} ? ${isNamed} : ${isMeant})`;
}

function matchesAny(patterns: readonly string[]): string[] {
  const names = patterns.filter((one) => !isPattern(one));
  const globs = patterns.filter(isPattern);
  return [
    ...(names.length === 0 ? [] : [`request.namespace in ${literal(names)}`]),
    ...(globs.length === 0
      ? []
      : [`request.namespace.matches(${literal(`^(${globs.map(expressionOf).join("|")})$`)})`]),
  ];
}

/** A glob as a regular expression of RE2, which takes linear time whatever the expression is. */
const expressionOf = (glob: string): string =>
  glob
    .replace(/[^-a-z0-9*?]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");

/** Whether the labels of a request's namespace meet a requirement. */
function isMet({ key, operator, values }: Requirement): string {
  const found = `namespaceObject.metadata.?labels[?${literal(key)}]`;
  const holds = (condition: string): string => `${found}.optMap(v, ${condition}).orValue(false)`;
  const compared = (sign: string): string =>
    // Of no integer of 64 bits `int` makes an error, which refuses the request: as if it did not compare so.
    holds(`v.matches("^-?[0-9]+$") && int(v) ${sign} ${String(BigInt(values[0] ?? ""))}`);
  switch (operator) {
    case "Exists":
      return `${found}.hasValue()`;
    case "DoesNotExist":
      return `!${found}.hasValue()`;
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
