"""A broker and a result store whose keys lie in several partitions: slots of a Redis Cluster, or servers
(docs/decisions/0024)."""
