"""Kafka without a word of the business: clients built one way, and what every service does with them.

    clients       settings → producer, consumer, admin client
    topics        create topics, refuse one with another number of partitions
    patches       defects of aiokafka mended from outside, and everything of ours that touches its private members
    fetch_pause   how long a consumer waits after an empty fetch

Importing the package applies the patches, for Faust too.
"""

from pipeline.runtime.kafka import patches

patches.apply()
