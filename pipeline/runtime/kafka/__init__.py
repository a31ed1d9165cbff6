"""Kafka without a word of the business: clients built one way, and what every service does with them.

    connection    settings → addresses, TLS and SASL of every client
    clients       settings → producer, consumer, admin client
    producer      a producer that reconnects, and one that packs lines and never gives up
    group_reader  read as a member of a group, by generations of its assignment
    read_range    read partitions up to an offset, in no group
    topics        create topics, refuse one with another number of partitions
    patches       defects of aiokafka mended from outside, and everything of ours that touches its private members
    fetch_pause   how long a consumer waits after an empty fetch

Importing the package applies the patches, for Faust too.
"""

from pipeline.runtime.kafka import patches

patches.apply()
