// The ECR actions of pulls and pushes, as AWS documents them. Tests compare the policies of the program with these.
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html

/** The actions that a pull needs. */
export const pullActions = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];

/** The actions that a push needs. */
export const pushActions = [
  "ecr:BatchCheckLayerAvailability",
  "ecr:BatchGetImage",
  "ecr:CompleteLayerUpload",
  "ecr:InitiateLayerUpload",
  "ecr:PutImage",
  "ecr:UploadLayerPart",
];
