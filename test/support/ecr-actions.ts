// The actions of ECR that pulling and pushing take, as AWS' pages have them: what the policies of the program are compared with.
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html

export const pullActions = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];

export const pushActions = [
  "ecr:BatchCheckLayerAvailability",
  "ecr:BatchGetImage",
  "ecr:CompleteLayerUpload",
  "ecr:InitiateLayerUpload",
  "ecr:PutImage",
  "ecr:UploadLayerPart",
];
