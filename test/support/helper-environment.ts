import type { HelperVariable } from "../../helper/shared/environment.ts";

/** An environment as the Deployment gives it, for tests that need a helper's configuration. */
export const helperEnvironment: Readonly<Record<HelperVariable, string>> = {
  ECR_HELPER_IDENTITY: "accessKey",
  ECR_HELPER_PRINCIPAL: "ecr-helper",
  ECR_HELPER_PUSH_ROLE: "",
  ECR_HELPER_REGISTRIES: "111122223333.dkr.ecr.eu-west-1.amazonaws.com",
  ECR_HELPER_REGISTRY_ROLES: "",
  ECR_HELPER_REGISTRY_HOST: "",
  ECR_HELPER_PROXY: "",
  ECR_HELPER_NO_PROXY: "",
  ECR_HELPER_CA_FILE: "",
  ECR_HELPER_BUILD_NAMESPACES: "default",
  ECR_HELPER_EXCLUDE_NAMESPACES: "",
  ECR_HELPER_NAMESPACE_SELECTOR: "",
  ECR_HELPER_BASIC_AUTH_SECRET: "ecr-creds",
  ECR_HELPER_PULL_SECRET: "ecr-creds-pull",
  ECR_HELPER_SERVICE_ACCOUNTS: "builder-sa",
  ECR_HELPER_NAMESPACE: "ecr-helper",
  ECR_HELPER_POD: "ecr-helper-57964b6d97-qmdsv",
  ECR_HELPER_TEMPLATE: "57964b6d97",
  ECR_HELPER_DEPLOYMENT: "ecr-helper",
  ECR_HELPER_OWNER_NAME: "ecr-helper-test",
  ECR_HELPER_MARKER: "ecr-helper-test-stack",
  ECR_HELPER_LOG_FORMAT: "text",
  ECR_HELPER_LOG_LEVEL: "info",
  ECR_HELPER_PORT: "0",
};
