"""The records of Kafka's internal topics: tables of their schemas, and what turns them into bytes.

A key starts with an int16 that says which record it is, a value with an int16 that says which version it is in. Which
versions exist, and that a reader takes all of them while a writer uses one that older readers know, is Kafka's.
"""
