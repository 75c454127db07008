// The docker login of whoever runs `pulumi up`.
import {
  getAuthorizationTokenOutput,
  type GetAuthorizationTokenOutputArgs,
} from "@pulumi/aws/ecr/getAuthorizationToken.js";
import * as pulumi from "@pulumi/pulumi";

/** A docker login for a registry. */
export interface RegistryLogin {
  /** The registry's host, `HOST` or `HOST:PORT`. */
  readonly server: pulumi.Output<string>;
  readonly username: pulumi.Output<string>;
  /** A Pulumi secret; a new one on every run. */
  readonly password: pulumi.Output<string>;
}

/** The login for an ECR registry, in the stack's own region if the arguments name no other. */
export function registryLogin(
  server: pulumi.Input<string>,
  args: GetAuthorizationTokenOutputArgs,
  opts?: pulumi.InvokeOptions,
): RegistryLogin {
  const { userName, password } = getAuthorizationTokenOutput(args, opts);
  return { server: pulumi.output(server), username: userName, password: pulumi.secret(password) };
}
