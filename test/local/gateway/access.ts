// Authorizes requests to IAM, STS, EKS and ECR Public by the current policies in IAM. The emulator's own evaluation ignores IAM's condition keys
// and some resources.
import {
  GetOpenIDConnectProviderCommand,
  GetPolicyCommand,
  GetRoleCommand,
  GetUserCommand,
  type IAMClient,
} from "@aws-sdk/client-iam";
import type { AwsOperation } from "../aws-requests.ts";
import { authorizationsOf, type Authorization, type RequestContent } from "./authorizations.ts";
import type { Emulator } from "./emulator.ts";
import { describeDenial, tagContext, denialReason, type Tag } from "./evaluation.ts";
import type { Refusal } from "./iam-checks.ts";
import { undefinedIfNoEntity } from "./iam-entities.ts";
import type { Principal } from "./principal.ts";
import type { Principals } from "./principals.ts";

/** An existing resource of IAM. */
interface IamResource {
  readonly arn: string;
  readonly boundary?: string | undefined;
  readonly tags?: readonly Tag[] | undefined;
  /** Only for a role: its trust policy. */
  readonly trust?: unknown;
}

/** A request to be authorized. */
export interface AccessRequest extends Omit<RequestContent, "account"> {
  readonly operation: AwsOperation;
  readonly principal: Principal;
  /** The address that the request comes from. */
  readonly address: string;
}

/** Authorizes requests to IAM, STS, EKS and ECR Public. */
export class Access {
  readonly #emulator: Emulator;
  readonly #principals: Principals;

  constructor(emulator: Emulator, principals: Principals) {
    [this.#emulator, this.#principals] = [emulator, principals];
  }

  /** The refusal with AWS' message; undefined where every action of the request is allowed. */
  async refusal(request: AccessRequest): Promise<Refusal | undefined> {
    const { operation, principal } = request;
    const authorizations = await authorizationsOf(operation, { ...request, account: principal.account });
    if (authorizations === undefined) return unknownAction(operation.action);
    for (const authorization of [...authorizations, ...sessionTagging(operation, principal, authorizations)]) {
      const why = await this.#whyNot(authorization, request);
      if (why === undefined) continue;
      const message = `User: ${principal.arn} is not authorized to perform: ${authorization.action} on resource: ${why}`;
      return {
        status: 403,
        code: /^(eks|ecr-public):/.test(operation.action) ? "AccessDeniedException" : "AccessDenied",
        message,
      };
    }
    return undefined;
  }

  /** The resource's ARN and the reason. */
  async #whyNot({ action, resource, context }: Authorization, request: AccessRequest): Promise<string | undefined> {
    const { principal, address } = request;
    const found = isCreation(request.operation) ? undefined : await this.#find(resource);
    const { arn, trust, ...rest }: IamResource = found ?? { arn: resource };
    const question = {
      ...{ principal, address, action, resource: arn, account: accountIn(arn) ?? principal.account },
      region: request.operation.region ?? "",
      context: { ...contextOf(rest), ...context },
      resourcePolicy: action.startsWith("sts:") ? trust : undefined,
    };
    const policies = await this.#principals.policiesOf(principal);
    const why = policies === undefined ? describeDenial(action, [], true) : await denialReason(question, policies);
    return why === undefined ? undefined : `${arn} ${why}`;
  }

  /** Looks up a resource; undefined where it does not exist, or is not one of IAM. */
  async #find(arn: string): Promise<IamResource | undefined> {
    const [, account = "", type = "", name = ""] = /^arn:aws:iam::(\d{12}):([\w-]+)\/(?:.*\/)?([^/]+)$/.exec(arn) ?? [];
    const look = lookUps[type];
    return look && undefinedIfNoEntity(look(this.#emulator.iam(account), { arn, name }));
  }
}

/** The further action of assuming a role, by a session with transitive tags. */
const sessionTagging = (
  { action }: AwsOperation,
  { session }: Principal,
  authorizations: readonly Authorization[],
): readonly Authorization[] =>
  action !== "sts:AssumeRole" || (session?.transitive.length ?? 0) === 0
    ? []
    : authorizations.map((one) => ({ ...one, action: "sts:TagSession" }));

/** Whether a request creates the resource that it names. An existing one with that name must not influence the decision. */
const isCreation = ({ action }: AwsOperation): boolean =>
  /^iam:Create(User|Role|Policy|OpenIDConnectProvider)$/.test(action);

const accountIn = (arn: string): string | undefined => /^arn:[^:]*:[^:]*:[^:]*:(\d{12}):/.exec(arn)?.[1];

const contextOf = ({ boundary, tags = [] }: Omit<IamResource, "arn">): Record<string, string> => ({
  ...(boundary === undefined ? {} : { "iam:PermissionsBoundary": boundary }),
  ...tagContext(["aws:ResourceTag", "iam:ResourceTag"], tags),
});

type LookUp = (iam: IAMClient, of: { readonly arn: string; readonly name: string }) => Promise<IamResource>;

const lookUps: Readonly<Record<string, LookUp>> = {
  user: async (iam, { arn, name }) => {
    const { User } = await iam.send(new GetUserCommand({ UserName: name }));
    return { arn: User?.Arn ?? arn, boundary: User?.PermissionsBoundary?.PermissionsBoundaryArn, tags: User?.Tags };
  },
  role: async (iam, { arn, name }) => {
    const { Role } = await iam.send(new GetRoleCommand({ RoleName: name }));
    const trust: unknown = JSON.parse(decodeURIComponent(Role?.AssumeRolePolicyDocument ?? ""));
    return {
      arn: Role?.Arn ?? arn,
      boundary: Role?.PermissionsBoundary?.PermissionsBoundaryArn,
      tags: Role?.Tags,
      trust,
    };
  },
  policy: async (iam, { arn }) => ({
    arn,
    tags: (await iam.send(new GetPolicyCommand({ PolicyArn: arn }))).Policy?.Tags,
  }),
  "oidc-provider": async (iam, { arn }) => {
    const { Tags } = await iam.send(new GetOpenIDConnectProviderCommand({ OpenIDConnectProviderArn: arn }));
    return { arn, tags: Tags };
  },
};

const unknownAction = (action: string): Refusal => ({
  status: 400,
  code: "InvalidAction",
  message: `the local cloud does not know which rights ${action} needs: test/local/gateway/authorizations.ts`,
});
