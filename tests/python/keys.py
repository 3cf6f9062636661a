def walk(c, note):
    return {}
