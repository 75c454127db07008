// A deployer who has none of the rights that are in question, and is given each when he was told of it.
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { boundaryArn, deployerPolicy, deployerStatements, makeDeployer, type Deployer } from "../support/deployer.ts";
import { aws } from "../local/settings.ts";
import { commands, EngineStack, type Ended } from "./proxied-stack.ts";
import { iam } from "./stack-resources.ts";

/** Whose tokens the OIDC provider of a stack is for, without `https://`. */
export const issuerOf = (stack: string): string => `oidc.example/${stack}`;

/** What a stack makes in AWS; the rest of it takes its time and asks AWS for nothing but the image's login. */
const inAws = ["Repository", "Identity"].flatMap((one) => ["--target", `**ecr-helper:index:${one}**`]);

export class LackingDeployer {
  readonly user: Deployer;
  readonly stack: EngineStack;
  /** Those of which he was told. */
  readonly told = new Set<string>();
  readonly #given: Set<string>;

  private constructor(user: Deployer, stack: EngineStack, given: Set<string>) {
    [this.user, this.stack, this.#given] = [user, stack, given];
  }

  /** Makes him, and a stack of his. He begins with the rights of these statements of infra/deployer-policy.json. */
  static async make(name: string, statements: RegExp): Promise<LackingDeployer> {
    const user = await makeDeployer(iam, `deployer-${name}`, name);
    const boundary = `permissionsBoundary=${boundaryArn(name)}`;
    const stack = await EngineStack.make(name, ['buildNamespaces=["default"]', boundary]);
    const { AccessKeyId, SecretAccessKey } = user.key;
    // What is in the configuration is in the state, too.
    stack.environment = {
      AWS_ACCESS_KEY_ID: AccessKeyId,
      AWS_SECRET_ACCESS_KEY: SecretAccessKey,
      // EKS' tokens are signed for the address that is asked: not for a proxy's.
      AWS_ENDPOINT_URL: aws.AWS_ENDPOINT_URL,
    };
    const deployer = new LackingDeployer(user, stack, new Set(await actionsOf(name, statements)));
    if (statements.source !== "(?!)") await deployer.#allow();
    return deployer;
  }

  async end(): Promise<void> {
    await this.user.allow(await deployerPolicy(this.stack.name, { oidcIssuer: issuerOf(this.stack.name) }));
    await this.stack.end();
    await this.user.remove();
  }

  /** Gives him rights that nobody tells of. */
  async give(actions: readonly string[]): Promise<void> {
    for (const action of actions) this.#given.add(action);
    await this.#allow();
  }

  async #allow(): Promise<void> {
    const isAllowed = (action: string): boolean => this.#given.has(action) || this.told.has(action);
    await this.user.allow(await deployerPolicy(this.stack.name, { isAllowed, oidcIssuer: issuerOf(this.stack.name) }));
  }

  /** Brings up what is in AWS, with these settings, and tells what he lacked for it. */
  async up(t: TestContext, what: string, settings: readonly string[] = []): Promise<void> {
    this.stack.configure(...settings);
    await this.refused(t, what, async () => this.stack.try(...commands.up, ...inAws));
  }

  /** Runs a command again and again, and each time gives the rights that it was refused for. Gives these. */
  async refused(t: TestContext, what: string, run: () => Promise<Ended>): Promise<readonly string[]> {
    const named: string[] = [];
    let ended = await run();
    for (; ended.code !== 0; ended = await run()) {
      const { said } = ended;
      const refusals = [...said.matchAll(/not authorized to perform: (\w+:\w+)/g)].map(([, action = ""]) => action);
      const actions = [...new Set(refusals)];
      assert.ok(actions.length > 0 && actions.every((action) => !this.told.has(action)), said);
      assert.ok(!said.includes(this.user.key.SecretAccessKey));
      named.push(...actions);
      for (const action of actions) this.told.add(action);
      await this.#allow();
    }
    const again = `right again after ${String(ended.milliseconds)} ms`;
    t.diagnostic(`outcome: ${what} without rights | each missing one is named: ${named.join(" ")} | ${again}`);
    return named;
  }
}

/** The actions of those statements of infra/deployer-policy.json that are named so. */
export async function actionsOf(stack: string, statements: RegExp): Promise<string[]> {
  const all = await deployerStatements(stack);
  return all.filter(({ Sid = "" }) => statements.test(Sid)).flatMap(({ Action }) => Action);
}
