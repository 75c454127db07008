import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { parse, parseAllDocuments } from "yaml";
import { configTable, withConfigTable } from "../../infra/config-table.ts";
import { pages, read, root, shellSnippet, snippets } from "../support/pages.ts";

const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
const { config } = parse(read("Pulumi.yaml")) as { config: Record<string, { default: unknown }> };

/** The matches of a pattern's first group on every page, as `PAGE: MATCH`, without those that are accepted. */
const unaccepted = (pattern: RegExp, isAccepted: (match: string, page: string) => boolean): string[] =>
  pages.flatMap((page) =>
    [...read(page).matchAll(pattern)]
      .map(([, match = ""]) => match)
      .filter((match) => !isAccepted(match, page))
      .map((match) => `${page}: ${match}`),
  );

/** Where a heading's link leads, as hosts of repositories and editors make it. */
const anchor = (heading: string): string =>
  heading
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");

const withoutSnippets = (text: string): string => text.replace(/^```\w*\n[^]*?^```$/gm, "");

const anchorsOf = (page: string): string[] =>
  [...withoutSnippets(read(page)).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) => anchor(heading));

describe("the pages", () => {
  it("are those that the README names, and a few more", () => {
    const named = [...read("README.md").matchAll(/\]\(([\w/.-]+\.md)/g)].map(([, page = ""]) => page);
    const others = ["README.md", "test/bench/RESULTS.md", "test/local/python/README.md"];
    assert.deepEqual([...new Set([...named, ...others])].sort(), pages.toSorted());
  });

  it("link only to existing files and headings", () => {
    const isThere = (link: string, page: string): boolean => {
      if (/^https:\/\//.test(link)) return true;
      const [path = "", heading] = link.split("#");
      const target = path === "" ? page : normalize(join(dirname(page), path));
      if (!existsSync(join(root, target))) return false;
      return heading === undefined || anchorsOf(target).includes(heading);
    };
    assert.deepEqual(unaccepted(/\]\(([^)\s]+)\)/g, isThere), []);
  });

  it("name only existing files and folders of the repository", () => {
    const path = /`((?:\.ci|\.github|helper|infra|test)\/[\w./-]*)`/g;
    assert.deepEqual(
      unaccepted(path, (match) => existsSync(join(root, match))),
      [],
    );
    assert.deepEqual(
      unaccepted(/(?<![\w/.-])((?:helper|infra|test)\/[\w/-]+(?:\.\w+)*\.(?:ts|js|json|yaml|md))\b/g, (match) =>
        existsSync(join(root, match)),
      ),
      [],
    );
  });

  it("name the file that each link of a path leads to", () => {
    const wrong = pages.flatMap((page) =>
      [...read(page).matchAll(/\[`?([\w./-]+\/[\w./-]+)`?\]\(([^)#\s]+)[^)]*\)/g)]
        .filter(([, text = "", link = ""]) => ![link, normalize(join(dirname(page), link))].includes(text))
        .filter(([, text = "", link = ""]) => `${text}/README.md` !== normalize(join(dirname(page), link)))
        .map(([match]) => `${page}: ${match}`),
    );
    assert.deepEqual(wrong, []);
  });

  it("run only scripts that package.json has", () => {
    const isScript = (name: string): boolean => name in scripts;
    assert.deepEqual(unaccepted(/npm run (?:-s )?([\w:-]+)/g, isScript), []);
  });

  it("name only test patterns that select a test of the file", () => {
    const commands = pages.flatMap((page) => [...read(page).matchAll(/--test-name-pattern '([^']+)' (\S+)/g)]);
    assert.ok(commands.length > 0);
    for (const [command, pattern = "", file = ""] of commands) assert.match(read(file), new RegExp(pattern), command);
  });

  it("set only keys that Pulumi.yaml has", () => {
    const isKey = (key: string): boolean => key in config || ["KEY", "aws:region", "aws:profile"].includes(key);
    assert.deepEqual(unaccepted(/pulumi config set (?:--path ')?([\w:]+)/g, isKey), []);
    assert.deepEqual(
      unaccepted(/ecr-helper:(\w+)/g, (key) => isKey(key) || /^\d/.test(key)),
      [],
    );
    assert.deepEqual(unaccepted(/ -c '?(\w+)=/g, isKey), []);
  });

  it("have snippets that parse: YAML, JSON and shell", () => {
    for (const { page, text } of snippets("yaml")) {
      for (const { errors } of parseAllDocuments(text)) assert.deepEqual(errors, [], page);
    }
    for (const { page, text } of snippets("json")) assert.doesNotThrow(() => JSON.parse(text) as unknown, page);
    assert.ok(snippets("shell").length > 10);
    for (const { text } of snippets("shell")) execFileSync("bash", ["-nc", text]);
  });
});

describe("README.md", () => {
  it("is at most 8 KiB, and no wider than a screen", () => {
    const text = read("README.md");
    assert.ok(Buffer.byteLength(text) <= 8192, `${String(Buffer.byteLength(text))} bytes`);
    const limit = (line: string): number => (line.startsWith("|") ? 120 : 130);
    assert.deepEqual(
      text.split("\n").filter((line) => line.length > limit(line)),
      [],
    );
  });

  it("has the defaults of the keys that it shows", () => {
    const rows = [...read("README.md").matchAll(/^\| `(\w+)` +\| (?:`([^`]+)`|none) +\| /gm)];
    const shown = rows.filter(([, key = ""]) => key in config);
    assert.equal(shown.length, 9);
    for (const [, key = "", value] of shown) {
      const given = config[key]?.default;
      const expected = Array.isArray(given) ? (given.length === 0 ? "" : JSON.stringify(given)) : String(given);
      assert.equal(value ?? "", expected, key);
    }
  });

  it("runs the main job and the tests by the scripts that are for that", () => {
    const commands = shellSnippet("README.md", "npm test").replace(/ *#.*/g, "");
    assert.deepEqual(commands.trim().split("\n"), ["npm ci && npm run up", "npm ci && npm test"]);
  });
});

describe("infra/README.md", () => {
  const page = read("infra/README.md");

  it("has the table of keys that `npm run config-table` writes", () => {
    assert.equal(page, withConfigTable(page, configTable(read("Pulumi.yaml"))));
    for (const key of Object.keys(config)) assert.ok(page.includes(`\n| \`${key}\` | `), key);
  });

  it("has every output of infra/index.ts, and no other", () => {
    const [, outputs = ""] = /^export default \{\n([^]*?)^\};$/m.exec(read("infra/index.ts")) ?? [];
    const names = outputs
      .trim()
      .split("\n")
      .map((line) => /(?:\{ |^ *)(\w+)(?:: .*| \}\),)$/.exec(line)?.[1] ?? line);
    const [, table = ""] = /^## Outputs\n([^]*?)^## /m.exec(page) ?? [];
    const rows = [...table.matchAll(/^\| `(\w+)`/gm)].map(([, name = ""]) => name);
    assert.ok(rows.length > 10);
    assert.deepEqual(rows.sort(), names.sort());
  });
});

describe("helper/README.md", () => {
  it("has the rooms and their imports as .dependency-cruiser.js enforces them", async () => {
    const { default: rules } = (await import(pathToFileURL(join(root, ".dependency-cruiser.js")).href)) as {
      default: { forbidden: readonly { name: string; comment?: string }[] };
    };
    const enforced = rules.forbidden.flatMap(({ comment = "" }) => {
      const [, room, others] = /^helper\/(\w+) imports from (.*) only$/.exec(comment) ?? [];
      return room === undefined ? [] : [`${room}: ${others ?? ""}`];
    });
    const [, table = ""] = /^## Rooms\n([^]*?)^## /m.exec(read("helper/README.md")) ?? [];
    const rows = [...table.matchAll(/^\| `(\w+)` .*\| (.*?) +\|$/gm)].map(
      ([, room = "", from = ""]) => `${room}: ${from}`,
    );
    assert.equal(enforced.length, 10);
    assert.deepEqual(rows, enforced);
  });

  it("proves each guarantee by a test", () => {
    const [, guarantees = ""] = /^## Guarantees\n([^]*?)^## /m.exec(read("helper/README.md")) ?? [];
    const items = guarantees.split(/^- /m).slice(1);
    assert.ok(items.length > 5);
    for (const item of items) assert.match(item, /\.test\.ts/);
  });
});

describe("infra/monitoring/README.md", () => {
  const page = read("infra/monitoring/README.md");

  it("has every alert", () => {
    const alerts = [...read("infra/monitoring/alerts.yaml").matchAll(/- alert: (\w+)/g)].map(([, name = ""]) => name);
    assert.deepEqual(
      [...page.matchAll(/^\| `(EcrHelper\w+)`/gm)].map(([, name = ""]) => name),
      alerts,
    );
  });

  it("has every metric of the helper's", () => {
    const metrics = [...read("helper/observability/metrics.ts").matchAll(/"(ecr_helper_\w+)"/g)].map(
      ([, name = ""]) => name,
    );
    assert.ok(metrics.length > 5);
    const shown = [...page.matchAll(/^\| `(ecr_helper_\w+)/gm)].map(([, name = ""]) => name);
    assert.deepEqual(shown.sort(), metrics.sort());
  });
});
