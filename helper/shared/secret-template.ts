// The templates of further secrets: plain text with placeholders. `$${` stands for the text `${`; every other character, `$` too, stands
// for itself. What is put in for a placeholder is not looked at again.

/** The placeholders, as `${NAME}`. */
export const placeholders = [
  "username",
  "password",
  "auth",
  "dockerconfig",
  "host",
  "url",
  "region",
  "account",
] as const;

/** The name of a placeholder. */
export type Placeholder = (typeof placeholders)[number];

/** Those that tell nothing secret: metadata is read by many that may not read a secret's data. */
export const publicPlaceholders = ["host", "url", "region", "account"] as const satisfies readonly Placeholder[];

/** An escape, or a placeholder with its name, which may have lost its end. */
const special = /(\$\$\{)|\$\{([^}]*)(\}?)/g;

/** The placeholders in a text, known or not: each as it stands there, and its name, which one that is not closed does not have. */
const placeholdersIn = (text: string): { readonly whole: string; readonly name: string | undefined }[] =>
  [...text.matchAll(special)].flatMap(([whole, escape, name, end]) =>
    escape === undefined ? [{ whole, name: end === "" ? undefined : name }] : [],
  );

const isOneOf = (some: readonly Placeholder[], name: string | undefined): boolean => some.some((one) => one === name);

/** Whether a template has one of these placeholders. */
export const usesAny = (template: string, some: readonly Placeholder[]): boolean =>
  placeholdersIn(template).some(({ name }) => isOneOf(some, name));

/** What is expected instead of the first placeholder that is not one of `known`; undefined for a valid template. */
export function templateMistake(template: string, known: readonly Placeholder[] = placeholders): string | undefined {
  const wrong = placeholdersIn(template).find(({ name }) => !isOneOf(known, name));
  if (wrong === undefined) return undefined;
  const list = known.map((name) => `\${${name}}`).join(", ");
  const found = JSON.stringify(wrong.whole.slice(0, 100));
  return `no placeholder but ${list}, where this has ${found}; $\${ is the text \${`;
}

/** Puts the values in for the placeholders of a valid template. */
export const expandTemplate = (template: string, values: Readonly<Record<Placeholder, string>>): string =>
  template.replace(special, (_, escape: string | undefined, name: string) =>
    escape === undefined ? values[name as Placeholder] : "${",
  );
