"""One answer by several rules, of which an input says which: do modules take to rules?"""
