// The repository's pages, for the tests that check them.
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The root of the repository. */
export const root = join(import.meta.dirname, "../..");

/** The text of a file, by its path from the root. */
export const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** The paths of all Markdown pages, from the root. */
export const pages = globSync("{*.md,{helper,infra,test}/**/*.md}", { cwd: root }).sort();

/** A fenced block of a page. */
export interface Snippet {
  readonly page: string;
  readonly text: string;
}

/** The fenced blocks of a language on every page. */
export const snippets = (language: string): Snippet[] =>
  pages.flatMap((page) =>
    [...read(page).matchAll(/^```(\w+)\n([^]*?)^```$/gm)].flatMap(([, found, text = ""]) =>
      found === language ? [{ page, text }] : [],
    ),
  );

/** The one shell snippet of a page that contains a text. Throws if there is none, or more than one. */
export function shellSnippet(page: string, part: string): string {
  const [found, ...others] = snippets("shell").filter((one) => one.page === page && one.text.includes(part));
  if (found === undefined || others.length > 0) throw new Error(`expected one shell snippet of ${page} with ${part}`);
  return found.text;
}
