"""The consumers of the stream of transactions: plain functions in the shape of a Lambda's on Kinesis, and what calls them on this machine."""
