"""What the AWS backends share: session, errors and retries, the lake in S3, locks, the code of Glue jobs, and `deploy`."""
