// An IAM user that deploys a stack without some rights of infra/deployer-policy.json, and gets each right once a command
// was denied for the lack of it.
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { boundaryArn, deployerPolicy, deployerStatements, createDeployer, type Deployer } from "../support/deployer.ts";
import { aws } from "../local/settings.ts";
import { ProxiedStack } from "./proxied-stack.ts";
import { commands, type PulumiResult } from "./pulumi-commands.ts";
import { iam } from "./stack-resources.ts";

/** The issuer of the stack's OIDC provider, without `https://`. */
export const issuerOf = (stack: string): string => `oidc.example/${stack}`;

/** Restricts `pulumi up` to the AWS resources: the rest is slow and needs no right but that of the image's login. */
const onlyAws = ["Repository", "Identity"].flatMap((one) => ["--target", `**ecr-helper:index:${one}**`]);

/** A deployer and its stack; a test has to call `end`. */
export class RestrictedDeployer {
  readonly user: Deployer;
  readonly stack: ProxiedStack;
  /** The actions that AWS denied, by name. */
  readonly deniedActions = new Set<string>();
  readonly #granted: Set<string>;

  private constructor(user: Deployer, stack: ProxiedStack, granted: Set<string>) {
    [this.user, this.stack, this.#granted] = [user, stack, granted];
  }

  /** Creates the user and a stack. It starts with the statements of infra/deployer-policy.json whose Sid matches. */
  static async make(name: string, statements: RegExp): Promise<RestrictedDeployer> {
    const user = await createDeployer(iam, `deployer-${name}`, name);
    const boundary = `permissionsBoundary=${boundaryArn(name)}`;
    const stack = await ProxiedStack.make(name, ['buildNamespaces=["default"]', boundary]);
    const { AccessKeyId, SecretAccessKey } = user.key;
    // Not as configuration: Pulumi keeps that in the state.
    stack.environment = {
      AWS_ACCESS_KEY_ID: AccessKeyId,
      AWS_SECRET_ACCESS_KEY: SecretAccessKey,
      // Not through the proxy: an EKS token is signed for the address that it was requested from.
      AWS_ENDPOINT_URL: aws.AWS_ENDPOINT_URL,
    };
    const deployer = new RestrictedDeployer(user, stack, new Set(await actionsOf(name, statements)));
    if (statements.source !== "(?!)") await deployer.#allow();
    return deployer;
  }

  /** Destroys the stack with all rights, and deletes the user. */
  async end(): Promise<void> {
    await this.user.allow(await deployerPolicy(this.stack.name, { oidcIssuer: issuerOf(this.stack.name) }));
    await this.stack.end();
    await this.user.remove();
  }

  /** Grants actions whose denial no command reports. */
  async grant(actions: readonly string[]): Promise<void> {
    for (const action of actions) this.#granted.add(action);
    await this.#allow();
  }

  async #allow(): Promise<void> {
    const isAllowed = (action: string): boolean => this.#granted.has(action) || this.deniedActions.has(action);
    await this.user.allow(await deployerPolicy(this.stack.name, { isAllowed, oidcIssuer: issuerOf(this.stack.name) }));
  }

  /** Deploys the AWS resources with these settings, and reports which actions had to be granted for it. */
  async up(t: TestContext, what: string, settings: readonly string[] = []): Promise<void> {
    this.stack.configure(...settings);
    await this.grantUntilAllowed(t, what, async () => this.stack.try(...commands.up, ...onlyAws));
  }

  /** Repeats a command until it succeeds and grants what AWS denied each time. Resolves with the denied actions. */
  async grantUntilAllowed(t: TestContext, what: string, run: () => Promise<PulumiResult>): Promise<readonly string[]> {
    const named: string[] = [];
    let ended = await run();
    for (; ended.code !== 0; ended = await run()) {
      const { output } = ended;
      const refusals = [...output.matchAll(/not authorized to perform: (\w+:\w+)/g)].map(([, action = ""]) => action);
      const actions = [...new Set(refusals)];
      assert.ok(actions.length > 0 && actions.every((action) => !this.deniedActions.has(action)), output);
      assert.ok(!output.includes(this.user.key.SecretAccessKey));
      named.push(...actions);
      for (const action of actions) this.deniedActions.add(action);
      await this.#allow();
    }
    const again = `recovered after ${String(ended.milliseconds)} ms`;
    t.diagnostic(`outcome: ${what} without rights | each missing one is named: ${named.join(" ")} | ${again}`);
    return named;
  }
}

/** The actions of the statements of infra/deployer-policy.json whose Sid matches. */
export async function actionsOf(stack: string, statements: RegExp): Promise<string[]> {
  const all = await deployerStatements(stack);
  return all.filter(({ Sid = "" }) => statements.test(Sid)).flatMap(({ Action }) => Action);
}
